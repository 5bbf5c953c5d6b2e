"""Frames of a lens that distorts, as a pinhole would have taken them."""

import numpy as np

from endodav_jax.video.reader import FrameReader
from endodav_jax.video.undistort import Undistorter


class UndistortedReader(FrameReader):
    """The frames of another reader, resampled one by one.

    Attributes:
      undistorter: the resampling, for frames of the reader's size.
    """

    def __init__(self, reader: FrameReader, undistorter: Undistorter):
        """Takes the reader of the original frames, which is left unchanged."""
        self.__dict__.update(reader.__dict__)
        self.undistorter = undistorter

    def _shape(self, rgb: np.ndarray) -> np.ndarray:
        return self.undistorter.image(super()._shape(rgb))
