"""Programs as accelerators get them: whole batches, no loops, fused attention; compiled for a CPU, or for nothing.

What only an accelerator can show (speed, memory, cuDNN's own numbers) is measured by `tools/benchmark.py accelerator`.
"""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from endodav_jax.inference import streaming
from endodav_jax.inference.windowed import window_rows
from endodav_jax.inference.windows import STEP, WINDOW_FRAMES
from endodav_jax.models import BACKBONES, abstract_params, frame_network, window_network
from endodav_jax.models.attention import attention
from endodav_jax.models.config import Backbone, DepthModelConfig
from endodav_jax.models.platform import traced_for
from tests.golden_cases import relative_error
from tests.models.networks import QUICK_TO_COMPILE

SHAPE = (28, 42)
WINDOWS = 2
ROWS = WINDOW_FRAMES + STEP * (WINDOWS - 1)
SAME = {"float32": 2e-5, "bfloat16": 0.05}
BLOCKS, MOTION_ATTENTIONS = 4, 4 * 2
# All heads as wide as cuDNN wants them, in the motion modules too, as those of vits and larger networks are.
BACKBONES["wide_heads"] = Backbone(
    width=64, depth=BLOCKS, heads=2, taps=(0, 1, 2, 3), head_features=64, head_channels=(8, 16, 64, 64)
)
IMAGES = jax.ShapeDtypeStruct((ROWS, *SHAPE, 3), jnp.float32)


def network(family: str, precision: str = "float32") -> tuple[DepthModelConfig, dict]:
    """A small network without adapters and the shapes of its weights."""
    config = getattr(DepthModelConfig, family)("wide_heads", image_shape=SHAPE, adapter="none", residual_blocks=())
    if family != "endodac":
        config = dataclasses.replace(config, temporal_adapter=False)
    config = dataclasses.replace(config, precision=precision)
    return config, abstract_params(config)


def batched_windows(config: DepthModelConfig):
    """All windows of a batch in one program, from frames to disparity: a function that has not been traced before."""
    slots = window_rows("endodav", WINDOWS).ravel()

    def run(params, images):
        bank = window_network(config, params).encode(images)
        features = jax.tree.map(lambda rows: rows[slots], bank)
        path_3 = window_network(config, params).decode_coarse(features, WINDOW_FRAMES)
        return window_network(config, params).decode_tail(path_3, features)

    return run


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batched_windows_lower_for_gpus_and_tpus_without_loops(precision):
    config, params = network("vda", precision)
    with traced_for("gpu"):
        exported = export.export(jax.jit(batched_windows(config)), platforms=["cuda", "tpu"])(params, IMAGES)
    assert exported.platforms == ("cuda", "tpu")
    assert exported.out_avals[0].shape == (WINDOWS * WINDOW_FRAMES, *SHAPE)
    assert "stablehlo.while" not in exported.mlir_module()


def test_networks_of_single_frames_lower_too():
    config, params = network("endodac")
    frames = jax.ShapeDtypeStruct((4, 256, 320, 3), jnp.float32)

    def run(params, frames):
        return frame_network(config, params).frame_disparity(frames)

    with traced_for("tpu"):
        exported = export.export(jax.jit(run), platforms=["cuda", "tpu"])(params, frames)
    assert exported.out_avals[0].shape[0] == 4
    assert "stablehlo.while" not in exported.mlir_module()


def test_the_steps_of_a_stream_lower_too():
    config, params = network("vda")

    def run(params, image, step, places):
        features = window_network(config, params).encode(image)
        _, state = streaming.first_step.__wrapped__(params, features, config=config)
        disparity, entries = streaming.next_step.__wrapped__(params, features, state.seen, places, config=config)
        return disparity, streaming.advanced.__wrapped__(state, entries, step)

    image = jax.ShapeDtypeStruct((1, *SHAPE, 3), jnp.float32)
    places = streaming.time_places(1)
    with traced_for("gpu"):
        exported = export.export(jax.jit(run), platforms=["cuda", "tpu"])(params, image, np.int32(1), places)
    assert exported.out_avals[0].shape == (1, *SHAPE)


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights through which values neither grow nor vanish."""
    inputs = int(np.prod(shape[:-1]))
    values = rng.normal(0, inputs**-0.5, shape) if len(shape) > 1 else rng.normal(0.5, 0.1, shape)
    return values.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_whole_batches_give_what_the_cpu_s_groups_give(precision):
    config, shapes = network("vda", precision)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: drawn(rng, leaf.shape), shapes)
    images = rng.random(IMAGES.shape, np.float32)
    results, loops = {}, {}
    for platform in ("cpu", "gpu"):
        with traced_for(platform):
            traced = jax.jit(batched_windows(config), compiler_options=QUICK_TO_COMPILE).trace(params, images)
        loops[platform] = "scan" in str(traced.jaxpr)
        results[platform] = np.asarray(traced.lower().compile()(params, images), np.float32)
    assert loops == {"cpu": True, "gpu": False}
    assert results["cpu"].std() > 0
    assert relative_error(results["gpu"], results["cpu"]) < SAME[precision]


@contextlib.contextmanager
def as_on_an_h100(monkeypatch):
    """Traces for a GPU that has cuDNN's fused attention, on a machine that has none."""
    monkeypatch.setattr("endodav_jax.models.attention.has_fused_attention", lambda: True)
    monkeypatch.setattr("jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version", lambda: 91000)
    with traced_for("gpu"):
        yield


@pytest.mark.parametrize("tokens", [320, 321])
def test_cudnn_s_attention_is_lowered_forward_and_backward(monkeypatch, tokens):
    """Also of patches and a class token, an odd number, whose derivative JAX refuses to take from cuDNN."""
    qkv = [jax.ShapeDtypeStruct((3, tokens, 6, 64), jnp.bfloat16)] * 3

    def both(*qkv):
        return jax.value_and_grad(lambda *qkv: attention(*qkv).astype(jnp.float32).sum(), (0, 1, 2))(*qkv)

    with as_on_an_h100(monkeypatch):
        lowered = jax.jit(both).trace(*qkv).lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("__cudnn$fmha") >= 2
    assert "stablehlo.exponential" not in lowered


def test_odd_lengths_are_attended_as_if_nothing_had_been_added(monkeypatch):
    """XLA's attention stands for cuDNN's, which takes the same arguments."""
    rng = np.random.default_rng(0)
    query, key, value = (jnp.asarray(rng.normal(size=(2, n, 2, 8)), jnp.bfloat16) for n in (5, 7, 7))

    def attended(*qkv):
        answers, derivative = jax.vjp(attention, *qkv)
        return answers, derivative(answers)

    expected = attended(query, key, value)
    plain = jax.nn.dot_product_attention
    monkeypatch.setattr(jax.nn, "dot_product_attention", lambda *a, implementation, **kw: plain(*a, **kw))
    with as_on_an_h100(monkeypatch):
        found = attended(query, key, value)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert ours.shape == theirs.shape
        assert relative_error(ours.astype(jnp.float32), theirs.astype(jnp.float32)) < 0.02


def test_a_network_in_bfloat16_asks_cudnn_for_every_attention(monkeypatch):
    lowered = {}
    for precision in ("bfloat16", "float32"):
        config, params = network("vda", precision)
        with as_on_an_h100(monkeypatch):
            traced = jax.jit(batched_windows(config)).trace(params, IMAGES)
            lowered[precision] = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert lowered["bfloat16"].count("__cudnn$fmhaSoftmax(") == BLOCKS + MOTION_ATTENTIONS
    assert "__cudnn" not in lowered["float32"]
