"""Files of every kind, cut, flipped and spliced: one line at worst, in bounded time and memory."""

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.media_fixtures import jpeg_bytes, mjpeg_avi, numbered_picture, write_video
from tests.video.test_hints import CONTAINERS

SECONDS = 30  # for one file; whole ones take less than one
MEGABYTES = 1000
COUNT = 12
PICTURES = [numbered_picture(i) for i in range(COUNT)]
DICOM = ("frames.dcm", "video.dcm", "jpeg.dcm")
IMAGES = ("stack.tif", "animated.png", "animated.webp", "one.jpg", "one.png", "colour16.tif")
NAMES = (*CONTAINERS, "dropped.avi", *IMAGES, *DICOM)


class Files(dict[str, bytes]):
    """Files by name; a failing example does not print their bytes."""

    def __repr__(self) -> str:
        return "Files()"


class Worker:
    """A process that reads files; it is started anew when it died."""

    def __init__(self):
        self._process: subprocess.Popen | None = None
        self._answers: queue.Queue = queue.Queue()

    def read(self, path: Path) -> dict:
        """Returns its answer; `{"died": ...}` or `{"hung": ...}` where there is none."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.reading_worker"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._answers = queue.Queue()
            threading.Thread(target=self._listen, args=(self._process, self._answers), daemon=True).start()
            self._ask(Path("/no/such/file.mp4"))  # the first takes the imports
            self._answers.get(timeout=120)
        self._ask(path)
        try:
            answer = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            answer = {"hung": f"no answer in {SECONDS} s"}
        if "hung" in answer or "died" in answer or answer["megabytes"] > MEGABYTES:
            self.close()
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, path: Path) -> None:
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()

    @staticmethod
    def _listen(process: subprocess.Popen, answers: queue.Queue) -> None:
        for line in process.stdout:
            answers.put(json.loads(line))
        answers.put({"died": f"exit code {process.wait()}"})


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Files:
    """A small valid file of every kind, by name."""
    folder = tmp_path_factory.mktemp("whole")
    for name, how in CONTAINERS.items():
        write_video(folder / name, PICTURES, **how)
    mjpeg_avi(folder / "dropped.avi", [jpeg_bytes(p) for p in PICTURES] + [b""], PICTURES[0].shape[:2])
    first, *others = map(Image.fromarray, PICTURES)
    tifffile.imwrite(folder / "stack.tif", np.stack(PICTURES), photometric="rgb")
    tifffile.imwrite(folder / "colour16.tif", PICTURES[0].astype(np.uint16) * 257, photometric="rgb")
    first.save(folder / "animated.png", save_all=True, append_images=others, duration=40)
    first.save(folder / "animated.webp", save_all=True, append_images=others, duration=40, lossless=True)
    first.save(folder / "one.jpg")
    first.save(folder / "one.png")
    _write_dicom(folder)
    return Files((path.name, path.read_bytes()) for path in folder.iterdir())


def _write_dicom(folder: Path) -> None:
    pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    from pydicom.uid import JPEGBaseline8Bit

    from tests.dicom_fixtures import write_encapsulated, write_frames

    size = PICTURES[0].shape[:2]
    write_frames(folder / "frames.dcm", np.stack(PICTURES), FrameTime="40")
    video = (folder / "a.mp4").read_bytes()
    write_encapsulated(folder / "video.dcm", [video], size, "1.2.840.10008.1.2.4.102", NumberOfFrames=COUNT)
    pieces = [jpeg_bytes(picture) for picture in PICTURES]
    write_encapsulated(folder / "jpeg.dcm", pieces, size, JPEGBaseline8Bit, NumberOfFrames=COUNT,
                       PhotometricInterpretation="YBR_FULL_422")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_not_called_damaged(worker, whole, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(whole[name])
    answer = worker.read(path)
    one = name.startswith(("one.", "colour16"))
    assert "error" not in answer
    assert "traceback" not in answer, answer
    assert answer["frames"] == (1 if one else COUNT)


place = st.floats(0, 1, exclude_max=True)
changes = st.one_of(
    st.tuples(st.just("cut"), place, place),
    st.tuples(st.just("flip"), st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=8)),
    # Headers lie at the beginning or the end, and damage there does most.
    st.tuples(st.just("flip header"), st.lists(st.tuples(place, st.integers(1, 255)), min_size=1, max_size=4)),
    st.tuples(st.just("zeros"), place, st.integers(1, 400)),
    st.tuples(st.just("splice"), place, st.sampled_from(NAMES), place, place),
    st.tuples(st.just("join"), st.sampled_from(NAMES)),
)


def changed(data: bytes, change: tuple, whole: Files) -> bytes:
    """Returns a file with one change."""
    if not data:
        return data
    spoilt = bytearray(data)
    match change:
        case ("cut", begin, share):
            # Mostly the end is lost, sometimes the beginning.
            return data[int(begin * 2 * len(data)) if begin < 0.1 else 0 :][: max(1, int(share * len(data)))]
        case ("flip", flips):
            for where, mask in flips:
                spoilt[int(where * len(data))] ^= mask
        case ("flip header", flips):
            for where, mask in flips:
                spoilt[int(where * 2 * min(300, len(data) // 2)) - min(300, len(data) // 2)] ^= mask
        case ("zeros", where, length):
            begin = int(where * len(data))
            spoilt[begin : begin + length] = bytes(min(length, len(data) - begin))
        case ("splice", where, other, begin, share):
            piece = whole[other][int(begin * len(whole[other])) :]
            spoilt[int(where * len(data)) :] = piece[: int(share * len(piece))]
        case ("join", other):
            spoilt += whole[other]
    return bytes(spoilt)


@pytest.mark.slow
@given(name=st.sampled_from(NAMES), how=st.lists(changes, min_size=1, max_size=3))
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_damaged_file_is_one_line_at_worst(worker, whole, tmp_path, name, how):
    data = whole[name]
    for change in how:
        data = changed(data, change, whole)
    path = tmp_path / name
    path.write_bytes(data)
    answer = worker.read(path)
    for fault in ("traceback", "died", "hung", "wrong"):
        assert fault not in answer, answer[fault]
    assert answer["megabytes"] < MEGABYTES
    assert "\n" not in answer.get("error", "")
    assert answer["frames"] or "error" in answer
    if data == whole[name]:
        assert "error" not in answer
