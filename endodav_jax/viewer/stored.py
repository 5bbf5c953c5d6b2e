"""Reads frames and maps of a clip one at a time: frames of a video, and members of an .npz."""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz
from endodav_jax.video.reader import FrameReader, open_source
from endodav_jax.viewer.recording import resized, shown_size

QUALITY = 92  # JPEG quality of the frames kept in memory


class StoredFrames:
    """All frames of a video at display size, compressed in memory (about 40 kB each).

    Attributes:
      full_size: (height, width) in the file.
      size: (height, width) of the returned frames.
    """

    def __init__(self, path: Path):
        """Reads the whole video.

        Raises:
          UserError: it is missing or unreadable.
        """
        reader = FrameReader(open_source(str(path)))
        self.full_size = reader.size
        self.size = shown_size(reader.size)
        self._pictures = []
        for frame in reader:
            bgr = cv2.cvtColor(resized(frame.rgb, self.size), cv2.COLOR_RGB2BGR)
            self._pictures.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, place: int) -> np.ndarray:
        """uint8 [H,W,3] RGB."""
        picture = cv2.imdecode(self._pictures[place], cv2.IMREAD_COLOR)
        assert picture is not None  # encoded above
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class StoredMaps:
    """An .npz written by `endodav infer` or `reconstruct`: maps are read one by one, other arrays immediately."""

    def __init__(self, path: Path):
        """Reads the table of contents.

        Raises:
          UserError: it is missing or damaged.
        """
        self.path = path
        self._starts: dict[str, tuple[int, tuple[int, ...]]] = {}
        try:
            with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
                for info in archive.infolist():
                    if info.compress_type != zipfile.ZIP_STORED:
                        raise UserError(f"{path}: is compressed; write it with `endodav infer`")
                    with archive.open(info) as member:
                        version = np.lib.format.read_magic(member)
                        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
                        if read is None:
                            raise ValueError("an .npy version other than 1.0")
                        shape, _, dtype = read(member)
                        header = member.tell()
                    if dtype == np.dtype("<f4") and len(shape) == 3:
                        # The data follow the local header, whose name and extra field have variable lengths.
                        file.seek(info.header_offset + 26)
                        lengths = np.frombuffer(file.read(4), "<u2")
                        start = info.header_offset + 30 + int(lengths.sum()) + header
                        self._starts[info.filename.removesuffix(".npy")] = (start, shape)
            with open_npz(path) as stored:
                self.small = {key: stored[key] for key in stored if key not in self._starts}
        except DAMAGED_NPZ as error:
            raise UserError(f"{path}: cannot be read ({error}); write it again with `endodav infer`") from error

    def __contains__(self, key: str) -> bool:
        return key in self._starts

    def size(self, key: str) -> tuple[int, int]:
        """(height, width) of the maps under a key."""
        _, height, width = self._starts[key][1]
        return height, width

    def read(self, key: str, place: int) -> np.ndarray:
        """Map number `place` of a key, float32 [H,W]."""
        start, (_, height, width) = self._starts[key]
        count = height * width
        return np.fromfile(self.path, "<f4", count, offset=start + 4 * count * place).reshape(height, width)
