"""Structural similarity (Wang et al. 2004) from the moments of two images' windows, in JAX or NumPy."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:  # the signal of a video is measured without JAX
    import jax

Array = TypeVar("Array", np.ndarray, "jax.Array")

# The constants that keep its quotients finite, for images in [0, 1].
C1, C2 = 0.01**2, 0.03**2
PUBLISHED_WEIGHT = 0.85  # of SSIM in the photometric error, in Monodepth2 and all that follow it


def dissimilarity(mean_a: Array, mean_b: Array, mean_product: Array, mean_squares: Array) -> Array:
    """Returns (1 - SSIM) / 2, of any shape and not clipped to [0, 1].

    Args:
      mean_a, mean_b: means over each pixel's window, of images in [0, 1].
      mean_product: the mean of a b.
      mean_squares: the mean of a² + b²: SSIM needs only the sum of the variances, one window less.
    """
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance, variances = mean_product - product, mean_squares - squares
    ssim = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return (1 - ssim) / 2
