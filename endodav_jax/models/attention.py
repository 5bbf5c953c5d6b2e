"""Scaled dot-product attention, one function for every network and device."""

import re

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.models.platform import on_cpu, target_platform

# Scores of one group stay in a CPU's cache when they take at most this many bytes.
CPU_SCORE_BYTES = 4 << 20
# cuDNN's fused attention is there from Ampere on, in half precision, for heads of such widths.
CUDNN_CAPABILITY = (8, 0)
CUDNN_HEAD_MULTIPLE = 8


def attention(
    query: Float[Array, "B N heads D"],
    key: Float[Array, "B M heads D"],
    value: Float[Array, "B M heads D"],
    *,
    chunk: int | None = None,
) -> Float[Array, "B N heads D"]:
    """softmax(query key^T / sqrt(D)) value, the softmax in float32.

    Args:
      query: the queries.
      key: the keys.
      value: the values; all three have the same dtype.
      chunk: batch elements processed at a time on a CPU; by default as many as keep their scores in its cache.
        A GPU processes all at once: with cuDNN's fused attention in bfloat16 if the GPU has it, else with XLA's.

    Returns:
      The weighted values, in the dtype of `query`.
    """
    if on_cpu():
        return _chunked(query, key, value, chunk)
    fused = query.dtype == jnp.bfloat16 and query.shape[-1] % CUDNN_HEAD_MULTIPLE == 0 and has_fused_attention()
    if fused:
        even = query.shape[1] % 2 == 0 and key.shape[1] % 2 == 0
        return _fused(query, key, value) if even else _fused_odd(query, key, value)
    full = "highest" if query.dtype == jnp.float32 else "default"
    with jax.default_matmul_precision(full):
        return jax.nn.dot_product_attention(query, key, value, implementation="xla")


def has_fused_attention() -> bool:
    """Whether programs traced now are for this process's GPUs, and cuDNN has fused attention for all of them."""
    if target_platform() != "gpu":
        return False
    capabilities = [compute_capability(device) for device in jax.local_devices()]
    return all(capability is not None and capability >= CUDNN_CAPABILITY for capability in capabilities)


def compute_capability(device: object) -> tuple[int, int] | None:
    """An NVIDIA GPU's compute capability, such as (8, 0); None for any other device."""
    match = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(device, "compute_capability", "")))
    return (int(match[1]), int(match[2])) if match else None


def _fused(query: Array, key: Array, value: Array) -> Array:
    return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")


@jax.custom_vjp
def _fused_odd(query: Array, key: Array, value: Array) -> Array:
    """cuDNN's attention for odd lengths (from a class token, say), which JAX (0.10 to 0.12) refuses to differentiate.

    The derivative, and the forward pass that belongs to it, therefore use even lengths and mask the padding.
    """
    return _fused(query, key, value)


def _fused_even(query: Array, key: Array, value: Array) -> Array:
    lengths = [jnp.full(a.shape[:1], a.shape[1], jnp.int32) for a in (query, key)]
    padded = [jnp.pad(a, ((0, 0), (0, a.shape[1] % 2), (0, 0), (0, 0))) for a in (query, key, value)]
    answers = jax.nn.dot_product_attention(
        *padded, query_seq_lengths=lengths[0], key_value_seq_lengths=lengths[1], implementation="cudnn"
    )
    return answers[:, : query.shape[1]]


_fused_odd.defvjp(
    lambda query, key, value: jax.vjp(_fused_even, query, key, value),
    lambda derivative, cotangent: derivative(cotangent),
)


def _chunked(query: Array, key: Array, value: Array, chunk: int | None) -> Array:
    batch, length, heads, _ = query.shape
    if chunk is None:
        chunk = max(1, CPU_SCORE_BYTES // (4 * heads * length * key.shape[1]))
    if chunk >= batch:
        return _plain(query, key, value)
    # The scores are cheap to recompute and expensive to keep for the backward pass.
    return jax.lax.map(
        lambda qkv: jax.checkpoint(_plain)(*qkv), (query, key, value), batch_size=chunk if chunk > 1 else None
    )


def _plain(query: Array, key: Array, value: Array) -> Array:
    """Attention on [..., N, heads, D] with the heads moved before the tokens, where matrix products are fastest."""
    query, key, value = (jnp.swapaxes(a, -3, -2) for a in (query, key, value))
    scale = query.shape[-1] ** -0.5
    scores = jnp.einsum("...nd,...md->...nm", query * jnp.asarray(scale, query.dtype), key)
    weights = jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(value.dtype)
    return jnp.swapaxes(jnp.einsum("...nm,...md->...nd", weights, value), -3, -2)
