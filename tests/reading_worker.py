"""Reads files named on standard input in a process of its own and answers a line of JSON for each.

What a test of damaged files must find out is what takes the whole process: a crash in a decoder, a hang, memory.
"""

import json
import resource
import sys
import traceback
import warnings

from endodav_jax.process import set_up
from tests.process_memory import peak_kilobytes

MEMORY = 3 << 30  # bytes that the process may ask for before it is refused more


def read(path: str) -> dict:
    """Returns how many frames came, and either why they ended or what went wrong."""
    from endodav_jax.errors import UserError
    from endodav_jax.video.reader import FrameReader, open_source

    answer: dict = {"frames": 0}
    try:
        source = open_source(path)
        reader = FrameReader(source, target_fps=20)
        reader.samples(3)
        last = -1.0
        for frame in source:
            if frame.time <= last or frame.rgb.shape != (*source.size, 3) or frame.index != answer["frames"]:
                answer["wrong"] = f"frame {frame.index} at {frame.time} after {last}, {frame.rgb.shape}"
            last = frame.time
            answer["frames"] += 1
        answer["notes"] = source.notes
    except UserError as error:
        answer["error"] = str(error)
    except BaseException:
        answer["traceback"] = traceback.format_exc()
    answer["megabytes"] = peak_kilobytes() // 1024
    return answer


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    set_up()
    for line in sys.stdin:
        print(json.dumps(read(line.rstrip("\n"))), flush=True)
