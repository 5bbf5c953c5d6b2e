"""Which photometric errors count, by Monodepth2's two rules."""

import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.losses.selection import automask, least_over_neighbours


def of_pixels(*neighbours) -> jax.Array:
    """Maps of one frame of one row, one a neighbour."""
    return jnp.asarray(neighbours, jnp.float32)[:, None, None, :]


def test_the_better_neighbour_of_each_pixel_counts_if_it_may():
    errors = of_pixels([0.1, 0.4, 0.1, 0.3], [0.3, 0.2, 0.5, 0.2])
    weights = of_pixels([1, 1, 0, 0], [1, 1, 1, 0])
    error, weight = least_over_neighbours(errors, weights)
    np.testing.assert_allclose(error[0, 0, :3], [0.1, 0.2, 0.5])
    np.testing.assert_array_equal(weight[0, 0], [1, 1, 1, 0])


def test_only_the_neighbour_that_counts_is_learned_from():
    def total(errors):
        error, weight = least_over_neighbours(errors, jnp.ones_like(errors))
        return (error * weight).sum()

    gradient = jax.grad(total)(of_pixels([0.1, 0.4], [0.3, 0.2]))
    np.testing.assert_array_equal(gradient[:, 0, 0], [[1, 0], [0, 1]])


def test_a_pixel_that_an_unmoved_neighbour_explains_as_well_does_not_count():
    moving = automask(jnp.array([0.1, 0.2, 0.3]), jnp.array([0.2, 0.2, 0.1]))
    np.testing.assert_array_equal(moving, [1, 0, 0])
