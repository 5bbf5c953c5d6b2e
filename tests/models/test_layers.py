"""The layers that networks share: attention in groups, frames in groups, batch statistics, groups of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.models.attention import attention
from endodav_jax.models.layers import Numerics, kept, map_frames, recomputed
from endodav_jax.models.norms import BatchNorm
from endodav_jax.models.platform import traced_for
from tests.golden_cases import relative_error

SAME = 1e-5


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_attention_in_groups_is_attention_at_once_with_the_same_gradients(chunk):
    rng = np.random.default_rng(0)
    query, key, value, weights = (rng.standard_normal((5, 7, 2, 4), np.float32) for _ in range(4))

    def ours(query, key, value):
        return attention(query, key, value, chunk=chunk)

    def loss(function):
        return lambda *qkv: (weights * function(*qkv)).sum()

    assert relative_error(ours(query, key, value), jax.nn.dot_product_attention(query, key, value)) < SAME
    got = jax.grad(loss(ours), (0, 1, 2))(query, key, value)
    expected = jax.grad(loss(jax.nn.dot_product_attention), (0, 1, 2))(query, key, value)
    for one, other in zip(got, expected, strict=True):
        assert relative_error(one, other) < SAME


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, SAME), (jnp.bfloat16, 0.02)])
def test_attention_as_accelerators_do_it_gives_the_same(monkeypatch, dtype, tolerance):
    rng = np.random.default_rng(1)
    qkv = [jnp.asarray(rng.standard_normal((3, 7, 2, 8)), dtype) for _ in range(3)]
    on_cpu = attention(*qkv)
    monkeypatch.setattr("endodav_jax.models.attention.on_cpu", lambda: False)
    elsewhere = attention(*qkv)
    assert elsewhere.dtype == on_cpu.dtype == dtype
    assert (
        relative_error(elsewhere.astype(jnp.float32), on_cpu.astype(jnp.float32))
        < {2: 0.02, 4: SAME}[dtype.dtype.itemsize]
    )


@pytest.mark.parametrize(
    ("capability", "dtype", "width", "expected"),
    [
        ("8.0", jnp.bfloat16, 64, "cudnn"),
        ("10.0", jnp.bfloat16, 64, "cudnn"),
        ("7.5", jnp.bfloat16, 64, "xla"),  # a T4, which cuDNN's fused attention does not know
        ("gfx90a", jnp.bfloat16, 64, "xla"),
        ("8.0", jnp.float32, 64, "xla"),
        ("8.0", jnp.bfloat16, 12, "xla"),
    ],
)
def test_a_gpu_has_fused_attention_where_its_capability_allows_it(monkeypatch, capability, dtype, width, expected):
    asked = []

    def attend(query, key, value, *, implementation):
        asked.append(implementation)
        return query

    class Gpu:
        platform = "gpu"
        compute_capability = capability

    monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
    monkeypatch.setattr(jax, "local_devices", lambda: [Gpu()])
    qkv = [jax.ShapeDtypeStruct((1, 3, 2, width), dtype)] * 3
    with traced_for("gpu"):
        jax.eval_shape(lambda *qkv: attention(*qkv), *qkv)
    assert asked == [expected]


@pytest.mark.parametrize("count", [1, 3, 7, 12])
def test_frames_mapped_in_groups_come_back_in_order(count):
    frames = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    doubled, sums = map_frames(lambda x, _: (2 * x, x.sum(-1)), frames, None)
    np.testing.assert_array_equal(doubled, 2 * frames)
    np.testing.assert_array_equal(sums, frames.sum(-1))


@pytest.mark.parametrize(("mark", "products"), [(lambda x: x, 4), (kept, 3)])
def test_the_derivative_computes_again_all_but_what_is_kept(mark, products):
    """One product forward, two for its derivatives, and one to have it again."""

    def function(x):
        return jnp.sin(mark(x @ x)).sum()

    x = jnp.eye(3) + 0.1
    program = jax.make_jaxpr(jax.grad(recomputed(function)))(x)
    assert str(program).count("dot_general[") == products
    np.testing.assert_allclose(jax.grad(recomputed(function))(x), jax.grad(function)(x), rtol=1e-6)


def test_batch_norm_over_devices_takes_the_statistics_of_the_whole_batch():
    batch = np.random.default_rng(0).normal(3, 2, (4, 2, 3, 5)).astype(np.float32)

    def normalise(x, axis_name):
        norm = BatchNorm(5, axis_name)
        return norm(x, True), norm.mean[...], norm.var[...]

    whole = normalise(batch.reshape(8, 3, 5), None)
    split = jax.vmap(lambda x: normalise(x, "devices"), axis_name="devices")(batch)
    assert relative_error(split[0].reshape(8, 3, 5), whole[0]) < SAME
    for parts, expected in zip(split[1:], whole[1:], strict=True):
        np.testing.assert_allclose(parts, np.broadcast_to(expected, parts.shape), rtol=1e-6)


def test_batch_norm_keeps_the_unbiased_variance_and_normalises_by_the_biased_one():
    batch = np.random.default_rng(1).normal(3, 2, (6, 5)).astype(np.float32)
    norm = BatchNorm(5)
    result = norm(batch, True)
    np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * batch.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.1 * batch.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(result).std(0), 1, rtol=1e-4)
    assert not np.allclose(norm(batch, False), result)


def test_layers_start_as_pytorchs_do():
    layer = Numerics.of("float32").conv(8, 64, 3, nnx.Rngs(0))
    bound = 1 / np.sqrt(8 * 9)
    for values in (layer.kernel[...], layer.bias[...]):
        assert float(jnp.abs(values).max()) <= bound
    assert float(jnp.std(layer.kernel[...])) == pytest.approx(bound / np.sqrt(3), rel=0.05)
