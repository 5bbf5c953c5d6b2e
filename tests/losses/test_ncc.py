"""The validation score of a registration."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.losses.ncc import local_ncc
from tests.golden_cases import relative_error


@pytest.mark.golden
def test_score_equals_the_published_program_up_to_its_sign(golden):
    case = golden.arrays("losses")
    assert relative_error(-local_ncc(case["ncc_a"][..., 0], case["ncc_b"][..., 0]), case["ncc_loss_map"][..., 0]) < 1e-4


def test_the_score_ignores_brightness_and_contrast_and_is_low_for_strangers():
    a, b = (jnp.asarray(v, jnp.float32) for v in np.random.default_rng(0).uniform(0.2, 0.8, (2, 1, 16, 16)))
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(local_ncc(a, 0.5 * a + 0.2)[inner], 1, atol=1e-3)
    assert float(local_ncc(a, b)[inner].mean()) < 0.2


def test_flat_images_score_nothing():
    flat = jnp.full((1, 8, 8), 0.5, jnp.float32)
    np.testing.assert_allclose(local_ncc(flat, flat)[:, 2:-2, 2:-2], 0, atol=1e-5)
