"""The losses of depth against the truth: what they are blind to, and what keeps the output above zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.models import build_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.step import clip_losses

DEPTH = jnp.asarray(np.random.default_rng(0).uniform(10, 60, (2, 1, 12, 16)), jnp.float32)


def test_a_true_disparity_has_no_error_at_any_scale_and_shift():
    losses = clip_losses(0.2 + 3 / DEPTH, DEPTH, PretrainConfig())
    assert losses["loss"] < 1e-4
    assert "anchor" not in losses
    assert losses["zero_share"] == 0


def test_the_anchor_sees_the_shift():
    losses = clip_losses(0.2 + 3 / DEPTH, DEPTH, PretrainConfig(anchor_weight=0.2))
    assert losses["anchor"] > 0.01


def test_what_lies_below_zero_is_pushed_up_and_counted():
    def loss(shift):
        losses = clip_losses(3 / DEPTH - shift, DEPTH, PretrainConfig())
        return losses["loss"], losses["zero_share"]

    above, below = (jax.value_and_grad(loss, has_aux=True)(shift) for shift in (0.01, 0.1))
    assert above[0][1] == 0
    assert abs(above[1]) < 1e-4
    assert below[0][1] > 0.3
    assert below[1] > 1  # the loss rises with what is taken away


def test_organs_are_never_pretrained_on():
    with pytest.raises(ValueError, match="'organ' is not one of colon"):
        PretrainConfig(families=(("organ", 1.0),))


@pytest.mark.slow
def test_single_frames_are_clips_of_one_frame_without_motion_modules():
    # New motion modules change nothing, so that both ways must agree; one runs its blocks in turn as one program.
    model = build_depth_model(DepthModelConfig.vda("vitt", image_shape=(28, 42)), nnx.Rngs(0))
    frames = jax.random.uniform(jax.random.key(1), (2, 28, 42, 3))
    single = model.single_frames(frames)
    np.testing.assert_allclose(jax.nn.relu(single), model.disparity(frames[:, None])[:, 0], atol=1e-5)
    assert model.single_frames(frames, coarse=True).shape == (2, 16, 24)


def test_the_error_of_log_depth_is_blind_to_scale_alone():
    def error(disparity):
        return clip_losses(disparity, DEPTH, PretrainConfig(log_weight=1.0))["log_depth"]

    assert error(3 / DEPTH) < 1e-5
    assert error(0.2 + 3 / DEPTH) > 0.05
    assert "log_depth" not in clip_losses(3 / DEPTH, DEPTH, PretrainConfig())
