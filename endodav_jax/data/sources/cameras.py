"""Intrinsics (fx, fy, cx, cy) in their various published forms."""

import numpy as np

# Published normalised intrinsics of SCARED, a mean over its data sets.
ENDOVIS_CONSTANT = (0.82, 1.02, 0.5, 0.5)


def normalised_intrinsics(values: tuple[float, float, float, float], width: int, height: int) -> np.ndarray:
    """Returns fx, fy, cx, cy in pixels from values that are fractions of the image's size, as the published code does.

    (The published code multiplies the principal point by the size as well and thus is half a pixel off the centre.)
    """
    return np.asarray(values, np.float64) * (width, height, width, height)
