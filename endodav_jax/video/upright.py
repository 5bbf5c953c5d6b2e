"""Decoded pictures as RGB, the right way up."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter


class UprightRgb:
    """Converts the decoded frames of one stream to uint8 [H, W, 3], alpha over black, following the display matrix.

    One converter serves all frames, since one per frame would start threads each time.  The display matrix belongs to
    the stream and is read once: PyAV ties a frame to its side data in a reference cycle, which keeps the picture in
    memory until Python's next garbage collection.
    """

    def __init__(self):
        self._converter = VideoReformatter()
        self._turn: tuple[bool, bool, bool] | None = None

    def look_at(self, frame: av.VideoFrame) -> tuple[bool, bool, bool]:
        """Reads the display matrix from the first frame, as decoded."""
        if self._turn is None:
            self._turn = _display_turn(frame)
        return self._turn

    @property
    def swapped(self) -> bool:
        """Whether height and width are swapped."""
        return self._turn is not None and self._turn[0]

    def size_of(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Returns (height, width) of a frame after conversion."""
        self.look_at(frame)
        return (frame.width, frame.height) if self.swapped else (frame.height, frame.width)

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        swapped, flip_x, flip_y = self.look_at(frame)
        if any(component.is_alpha for component in frame.format.components):
            rgb = over_black(self._converter.reformat(frame, format="rgba").to_ndarray())
        else:
            rgb = self._converter.reformat(frame, format="rgb24").to_ndarray()
        if swapped:
            rgb = rgb.swapaxes(0, 1)
        return np.ascontiguousarray(rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _display_turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Returns whether to swap the axes, and then whether to mirror x and y; other transformations are dropped."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know every kind of side data (EXIF, for one), and then lists none at all
        return _turn_by_angle(frame)
    if matrix is None:
        return False, False, False
    # 16.16 fixed point, x' = a x + c y, y' = b x + d y with y down.
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])  # type: ignore[call-overload]
    return (False, a < 0, d < 0) if abs(a) >= abs(b) else (True, c < 0, b < 0)


def _turn_by_angle(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Returns the same from the rotation alone, in degrees counter-clockwise, which cannot express mirroring."""
    turns = {0: (False, False, False), 1: (True, False, True), 2: (False, True, True), 3: (True, True, False)}
    return turns[round(frame.rotation / 90) % 4]


def over_black(rgba: np.ndarray) -> np.ndarray:
    """Returns uint8 [H, W, 3] of uint8 [H, W, 4]: the colour times its opacity, rounded."""
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)
