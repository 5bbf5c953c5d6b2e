"""The outputs of a live source, which keep what was recorded whatever ends it."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.files import CannotWriteError, remove, whole_file, write_failure
from endodav_jax.video.depth_files import DepthFrame, frame_name, save_npy
from endodav_jax.video.encoder import fragmented_mp4
from endodav_jax.video.fragments import keep_whole_fragments


class LiveOutput:
    """One output.

    Attributes:
      path: its final name.
      frames: how many frames it holds, once it is closed.
      failure: why it holds fewer than it was given, or None.
    """

    def __init__(self, path: Path):
        self.path, self.frames = path, 0
        self.failure: CannotWriteError | None = None

    def __str__(self) -> str:
        return f"{self.path} ({self.frames} frames)"

    def failed(self, error: Exception) -> CannotWriteError | None:
        """Remembers the first error of the disk, and returns it; None for an error of another kind."""
        reason = write_failure(error)
        if reason is None:
            return None
        if self.failure is None:
            self.failure = CannotWriteError(
                f"{self.path}: cannot be written ({reason}); free space or choose another folder"
            )
        return self.failure


@contextlib.contextmanager
def live_video(path: Path, fps: Fraction, pixel_aspect: Fraction) -> Iterator[tuple[LiveOutput, Callable[..., None]]]:
    """Yields the output, and a function `write(rgb, time)`.

    Raises:
      UserError: on entering and in `write`, if the file cannot be written.  What was written before is kept.
    """
    output, begun, used = LiveOutput(path), False, False
    with _kept_if_any(output) as part:
        try:
            with fragmented_mp4(part, fps, pixel_aspect) as encode:

                def write(rgb: np.ndarray, time: float) -> None:
                    nonlocal begun
                    begun = True
                    with _explained(output):
                        encode(rgb, time)

                yield output, write
                used = True
        except Exception as error:
            if not used or output.failed(error) is None:
                raise
        output.frames = keep_whole_fragments(part) if begun else 0


@contextlib.contextmanager
def live_npy(folder: Path) -> Iterator[tuple[LiveOutput, Callable[[DepthFrame], None]]]:
    """Yields the output, and a function that writes `frame_00000.npy`, the depth as float32 [H, W].

    Raises:
      UserError: on entering and in the function, if files cannot be written.  Those written before are kept.
    """
    output = LiveOutput(folder)
    with _kept_if_any(output) as part:
        part.mkdir()

        def write(frame: DepthFrame) -> None:
            file = part / f"{frame_name(frame)}.npy"
            with _explained(output):
                try:
                    save_npy(file, frame.depth)
                except BaseException:
                    remove(file)
                    raise
            output.frames += 1

        yield output, write


class _NothingKept(Exception):
    """Nothing is to get the final name."""


@contextlib.contextmanager
def _kept_if_any(output: LiveOutput) -> Iterator[Path]:
    """`whole_file` for an output that holds frames; otherwise, nothing is left."""
    with contextlib.suppress(_NothingKept), whole_file(output.path) as part:
        yield part
        if not output.frames:
            raise _NothingKept


@contextlib.contextmanager
def _explained(output: LiveOutput) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = output.failed(error)
        if failure is None:
            raise
        raise failure from error
