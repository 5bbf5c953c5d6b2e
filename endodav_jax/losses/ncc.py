"""Local normalised cross-correlation, the validation score of the flow network's registration."""

import jax
from jaxtyping import Array, Float

WINDOW = 5
VARIANCE_EPSILON = 1e-5


def local_ncc(a: Float[Array, "N H W"], b: Float[Array, "N H W"]) -> Float[Array, "N H W"]:
    """Returns the squared correlation of grey images over 5x5 windows, 0 (unlike) to 1; beyond the edge are zeros."""

    def window_mean(x):
        margin = WINDOW // 2
        padding = [(0, 0), (margin, margin), (margin, margin)]
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, WINDOW, WINDOW), (1, 1, 1), padding)
        return total / WINDOW**2

    mean_a, mean_b = window_mean(a), window_mean(b)
    # Sums, not means, of products: the published epsilon is set against those.
    covariance, variance_a, variance_b = (
        WINDOW**2 * (window_mean(product) - means)
        for product, means in ((a * b, mean_a * mean_b), (a * a, mean_a**2), (b * b, mean_b**2))
    )
    return covariance**2 / (variance_a * variance_b + VARIANCE_EPSILON)
