"""Camera paths through a data set's videos, solved before training (`reconstruction.paths`), as a file."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from endodav_jax.data.prepared import PreparedSplit, digest_of_split
from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz, whole_file

LOST = -1  # piece of a frame whose camera was not found


@dataclasses.dataclass(frozen=True)
class CameraPaths:
    """Where the camera was in every frame of a split, in file order.

    Attributes:
      cam_from_world: NaN where the camera was lost.  The unit of a piece is its own.
      piece: frames of one number lie in one sequence and have one world; `LOST` where the camera was lost.
      log_depth: mean log depth of each frame's view, in the unit of its piece.
      points: of each frame, places whose depth the path's motion tells: x and y in pixels, log depth in the unit of its
        piece, and how sure that is, as 1 over its standard deviation; 0 where there are no more points.
      data: SHA-256 of the split that they belong to (`prepared.digest_of_split`).
      origin: SHA-256 of all that they were solved from (`reconstruction.paths.origin_of`); empty in files of older
        versions.
    """

    cam_from_world: Float[np.ndarray, "N 4 4"]
    piece: Int[np.ndarray, "N"]
    log_depth: Float[np.ndarray, "N"]
    points: Float32[np.ndarray, "N P 4"]
    data: str
    origin: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the paths themselves and of their split, wherever they come from."""
        parts = (self.cam_from_world, self.piece, self.log_depth, self.points)
        return hashlib.sha256(b"".join([*(part.tobytes() for part in parts), self.data.encode()])).hexdigest()

    def stretches(self) -> list[tuple[int, int]]:
        """(first record, length) of every run of neighbouring frames of one piece."""
        ends = np.flatnonzero(np.diff(self.piece)) + 1
        runs = zip([0, *ends], [*ends, len(self.piece)], strict=True)
        return [(int(first), int(end - first)) for first, end in runs if self.piece[first] != LOST]

    def save(self, path: Path) -> None:
        """Writes them as an npz.

        Raises:
          UserError: the file cannot be written.
        """
        with whole_file(path) as part:
            np.savez(part, **dataclasses.asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> "CameraPaths":
        """Reads paths, through whatever frames.

        Raises:
          UserError: no such file, or it holds something else.
        """
        try:
            with open_npz(path) as arrays:
                return cls(
                    arrays["cam_from_world"],
                    arrays["piece"],
                    arrays["log_depth"],
                    arrays["points"],
                    str(arrays["data"]),
                    str(arrays["origin"]) if "origin" in arrays else "",
                )
        except DAMAGED_NPZ as error:
            raise UserError(f"{path}: no file of camera paths; delete it, and training solves them anew") from error

    @classmethod
    def load(cls, path: str | Path, split: PreparedSplit) -> "CameraPaths":
        """Reads paths through the frames of a split.

        Raises:
          UserError: no such file, or it was solved for other frames.
        """
        paths = cls.read(path)
        if paths.data != digest_of_split(split) or len(paths.piece) != sum(split.lengths):
            raise UserError(f"{path}: solved for other frames than {split.folder}; delete it to solve them anew")
        return paths
