"""What the motion networks promise beyond their numbers: sizes, types, and where they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.flow import FlowNet
from endodav_jax.models.layers import Numerics, recomputed
from endodav_jax.models.pose import PoseNet
from endodav_jax.models.resnet import RESNETS, ResNet, last_width
from endodav_jax.models.training_networks import TrainingNetworks

FRAMES = jax.ShapeDtypeStruct((2, 64, 96, 3), jnp.float32)


def _shapes(kind, function, *arrays):
    """What `function(module, *arrays)` would give, from shapes alone."""
    return jax.eval_shape(lambda *arrays: function(kind(), *arrays), *arrays)


@pytest.mark.parametrize("layers", [10, 18, 34, 50])
def test_encoders_give_five_levels_each_half_the_one_before(layers):
    encoder = lambda: ResNet(layers, 2, Numerics.of("float32"), None, nnx.Rngs(0))  # noqa: E731
    stacked = jax.ShapeDtypeStruct((2, 64, 96, 6), jnp.float32)
    levels = _shapes(encoder, lambda module, x: module(x, True), stacked)
    assert [level.shape[1:3] for level in levels] == [(64 // 2**i, 96 // 2**i) for i in range(1, 6)]
    assert levels[-1].shape[-1] == last_width(layers)


def test_other_depths_are_refused():
    with pytest.raises(ValueError, match="ResNet has 10, 18, 34, 50 layers, not 101"):
        ResNet(101, 2, Numerics.of("float32"), None, nnx.Rngs(0))


def test_motion_networks_answer_in_float32_when_they_compute_in_bfloat16():
    config = DepthModelConfig.vda("vitt", image_shape=(28, 28))

    def answers(networks, first, second):
        motion = networks.pose(first, second, True)
        intrinsics = networks.intrinsics(motion.features, 64, 96)
        return motion, intrinsics, networks.flow(first, second, True), networks.transform(first, second, True)

    build = lambda: TrainingNetworks(config, nnx.Rngs(0), precision="bfloat16")  # noqa: E731
    motion, intrinsics, flow, transform = _shapes(build, answers, FRAMES, FRAMES)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((motion, intrinsics, flow, transform)))
    assert motion.axis_angle.shape == motion.translation.shape == (2, 3)
    assert intrinsics.shape == (2, 4)
    for channels, maps in ((2, flow), (3, transform)):
        assert [x.shape for x in maps] == [(2, 64 // 2**s, 96 // 2**s, channels) for s in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("network", [FlowNet, PoseNet])
def test_maps_at_an_eighth_and_below_wait_for_the_derivative_and_larger_ones_are_computed_again(network):
    graphdef, state = nnx.split(network(nnx.Rngs(0), layers=10, numerics=Numerics.of("float32")))
    stages = RESNETS[10].widths

    def waiting(wrap):
        run = wrap(lambda state, x: nnx.merge(graphdef, state, copy=True)(x, x, train=True))
        _, pull = jax.eval_shape(lambda x: jax.vjp(lambda state: run(state, x), state), FRAMES)
        return {leaf.shape for leaf in jax.tree.leaves(pull) if leaf.ndim == 4}

    kept = {(2, 64 // 2**i, 96 // 2**i, stages[i - 2]) for i in (3, 4, 5)}
    large = {(2, 64 // 2**i, 96 // 2**i, stages[max(i - 2, 0)]) for i in (1, 2)}
    assert waiting(recomputed) >= kept
    assert not waiting(recomputed) & large
    assert waiting(lambda run: run) >= kept | large


@pytest.mark.slow
def test_flow_starts_at_almost_nothing():
    head = FlowNet(nnx.Rngs(0), numerics=Numerics.of("float32")).heads[0]
    assert float(jnp.std(head.kernel[...])) == pytest.approx(1e-5, rel=0.2)
    assert not np.any(head.bias[...])
