"""The motion module frame by frame, as a live source needs it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.models.layers import Numerics
from endodav_jax.models.motion_module import HEADS, MotionModule, sinusoidal_table
from endodav_jax.models.video_depth import empty_cache
from tests.golden_cases import relative_error
from tests.models.networks import VDA, frames, random_params, run

SAME = 1e-5
CHANNELS = VDA.backbone.head_features
SHAPE = (3, 2)


@pytest.fixture(scope="module")
def module() -> MotionModule:
    build = lambda: MotionModule(CHANNELS, VDA, Numerics.of("float32"), False, nnx.Rngs(0))  # noqa: E731
    params = random_params(VDA)["head"]["motion_modules"][3]
    return nnx.merge(nnx.graphdef(nnx.eval_shape(build)), jax.tree.map(jnp.asarray, params))


@pytest.mark.slow
def test_streaming_equals_a_window_in_which_each_frame_sees_only_earlier_ones(module):
    length = 4
    maps = np.random.default_rng(0).standard_normal((length, *SHAPE, CHANNELS), np.float32)
    expected = _causal(module, maps)
    places: list[int] = []
    cache = [jnp.zeros((0, SHAPE[0] * SHAPE[1], CHANNELS), jnp.float32)] * 4
    for t in range(length):
        result, entries = module.step(maps[t : t + 1], tuple(cache), jnp.array(places, jnp.int32))
        assert relative_error(result[0], expected[t]) < SAME
        # As in a ring buffer, entries may stand in any order if their places say so.
        cache = [jnp.concatenate([entry[None], earlier]) for entry, earlier in zip(entries, cache, strict=True)]
        places = [t, *places]


def _causal(module: MotionModule, maps: np.ndarray) -> jax.Array:
    """The module's equations with every frame attending to those up to itself."""
    length = len(maps)
    x = module.proj_in(module.norm(maps)).reshape(length, -1, CHANNELS)
    table = sinusoidal_table(length, CHANNELS)[:, None]
    for layer in module.attentions:
        tokens = layer.norm(x) + table
        heads = (length, -1, HEADS, CHANNELS // HEADS)
        query, key, value = (to(tokens).reshape(heads) for to in (layer.to_q, layer.to_k, layer.to_v))
        scores = jnp.einsum("tphd,sphd->phts", query, key) / np.sqrt(CHANNELS // HEADS)
        scores = jnp.where(np.tril(np.ones((length, length), bool)), scores, -jnp.inf)
        answers = jnp.einsum("phts,sphd->tphd", jax.nn.softmax(scores), value)
        x = x + layer.to_out(answers.reshape(length, -1, CHANNELS))
    return maps + module.proj_out(x + module.feed_forward(x)).reshape(maps.shape)


def test_the_first_frame_of_a_stream_is_a_window_of_one():
    def both(model, images):
        features = model.encode(images)
        streamed, entries = model.decode_step(features, empty_cache(VDA, 0), jnp.zeros((0,), jnp.int32))
        return streamed, model.decode(features, 1)[0], entries

    streamed, window, entries = run(VDA, both, frames(1, 1)[0])
    assert relative_error(streamed, window) < SAME
    assert [entry.shape for entry in entries] == [cache.shape[1:] for cache in empty_cache(VDA, 1)]


def test_positions_are_sines_and_cosines_of_falling_frequency():
    table = sinusoidal_table(32, 8)
    np.testing.assert_allclose(table[:, 0], np.sin(np.arange(32)), atol=1e-6)
    np.testing.assert_allclose(table[:, 1], np.cos(np.arange(32)), atol=1e-6)
    np.testing.assert_allclose(table[:, 6], np.sin(np.arange(32) / 1000), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 10), (16, 20)])
def test_a_compiled_step_is_the_step_at_every_size_of_map(module, shape):
    # A full cache of 31 frames of 16x20 pixels once came out wrong by a tenth when compiled for a CPU.
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, *shape, CHANNELS)).astype(np.float32)
    cache = tuple(rng.standard_normal((31, shape[0] * shape[1], CHANNELS)).astype(np.float32) for _ in range(4))
    graphdef, state = nnx.split(module)

    def step(state, x, cache):
        return nnx.merge(graphdef, state).step(x, cache, jnp.arange(31, dtype=jnp.int32))

    with jax.disable_jit():
        expected = step(state, x, cache)
    for found, wanted in zip(jax.tree.leaves(jax.jit(step)(state, x, cache)), jax.tree.leaves(expected), strict=True):
        assert relative_error(found, wanted) < SAME
