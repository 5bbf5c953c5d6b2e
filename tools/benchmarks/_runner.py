"""One runtime in a process of its own, so that memory is its own: `python -m benchmarks._runner JSON`, within `tools`.

It answers each line of input with a line of JSON: the first says what runs, each `go` measures once, and at the end of
the input it reports its peak memory and exits.
"""

import json
import resource
import sys
import time

import numpy as np
from benchmarks import _networks

from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.inference.windows import CONTEXT_SLOTS, STEP
from endodav_jax.runtimes.networks import network_for

STREAMED = 12  # frames per measurement
WINDOWS = 3  # windows that are timed, after the first; the last has few frames of its own


def clocks() -> np.ndarray:
    """Seconds of wall-clock time and of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def of_video(estimator: DepthEstimator, size: tuple[int, int]) -> np.ndarray:
    """Seconds per output frame of a long video: the median over its windows."""
    marks = []
    for number, _ in estimator.iter_infer(_networks.drifting_frames(STEP * (WINDOWS + 1) + CONTEXT_SLOTS + 1, *size)):
        if number > CONTEXT_SLOTS and (number - CONTEXT_SLOTS) % STEP == 0:
            marks.append(clocks())
    return np.median(np.diff(marks, axis=0), axis=0) / STEP


def of_stream(stream, size: tuple[int, int]) -> np.ndarray:
    """Seconds per frame of a live source, the median."""
    taken = []
    for frame in _networks.drifting_frames(STREAMED, *size):
        started = clocks()
        stream.push(frame)
        taken.append(clocks() - started)
    return np.median(taken, axis=0)


def main(wanted: dict) -> None:
    """Answers line by line."""
    config, params = _networks.network(wanted["family"], wanted["preset"], wanted["weights"])
    chosen = RuntimeConfig(runtime=wanted["runtime"], precision=wanted["precision"],
                           int8_force=wanted["precision"] == "int8")  # fmt: skip
    network, said = network_for(config, params, chosen, "stream" if wanted["stream"] else "video")
    del params
    estimator = DepthEstimator.of(network)
    size = tuple(wanted["size"])
    stream = estimator.stream()
    if wanted["stream"]:
        of_stream(stream, size)
    else:
        list(estimator.iter_infer(_networks.drifting_frames(1, *size)))
    print(json.dumps({"said": said}), flush=True)
    for _ in sys.stdin:
        wall, processor = of_stream(stream, size) if wanted["stream"] else of_video(estimator, size)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"ms": 1e3 * wall, "processor_ms": 1e3 * processor, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
