"""Frames of a user's own distorted camera, resampled once to a pinhole."""

import dataclasses

import numpy as np

from endodav_jax.data.sources.base import SourceFrame
from endodav_jax.errors import UserError
from endodav_jax.video.lenses import Lens
from endodav_jax.video.undistort import Undistorter

NEEDS_LENS = (
    "no distortion of its camera is known, so there is nothing to undistort; give --intrinsics FILE with OpenCV's "
    "distortion coefficients, Matlab's omnidirectional camera or a COLMAP model beside the frames"
)


class Undistorters:
    """The resampling to a pinhole for each lens of a sequence; maps are made once per lens."""

    def __init__(self, size: tuple[int, int]):
        self._size = size
        self._made: dict[int, tuple[Lens, Undistorter]] = {}

    def of(self, sequence: str, lens: Lens | None) -> Undistorter:
        """Returns the resampling for a frame with this lens.

        Raises:
          UserError: the lens is not known, or has no distortion.
        """
        if lens is None or not lens.distorted:
            raise UserError(f"{sequence}: {NEEDS_LENS}")
        if id(lens) not in self._made:
            self._made[id(lens)] = lens, Undistorter.of(lens, self._size)  # keeping the lens keeps its id valid
        return self._made[id(lens)][1]


def resampled(frame: SourceFrame, undistorter: Undistorter, sparse: bool = False) -> SourceFrame:
    """Returns a frame as the pinhole sees it: colour, depth and masks; the view ends where the lens's image does.

    Args:
      frame: a frame of the lens.
      undistorter: the resampling.
      sparse: the depth is of points, which are already the pinhole's.
    """
    return dataclasses.replace(
        frame,
        frame=undistorter.image(frame.frame),
        depth_mm=frame.depth_mm if sparse or frame.depth_mm is None else undistorter.depth(frame.depth_mm),
        intrinsics=np.array(undistorter.pinhole),
        view_mask=undistorter.mask(frame.view_mask),
        frame_mask=None if frame.frame_mask is None else undistorter.mask(frame.frame_mask),
    )
