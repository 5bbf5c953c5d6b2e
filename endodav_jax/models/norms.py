"""Batch normalisation with PyTorch's running statistics."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

EPSILON = 1e-5
MOMENTUM = 0.1  # of the newest batch, as PyTorch counts it


class BatchNorm(nnx.Module):
    """Normalises over all axes but the last, in float32.

    The batch is normalised by its biased variance, and the running variance follows the unbiased one; Flax's own
    layer tracks the biased one, which differs noticeably for the few pixels of a coarse level.

    Args:
      features: of the last axis.
      axis_name: the mapped axis of devices over which a batch's statistics are taken together, or None.
    """

    def __init__(self, features: int, axis_name: str | None = None):
        self.axis_name = axis_name
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((features,), jnp.float32))
        self.var = nnx.BatchStat(jnp.ones((features,), jnp.float32))

    def __call__(self, x: Float[Array, "*batch C"], train: bool) -> Float[Array, "*batch C"]:
        """With `train`, normalises by the batch and updates the running statistics; otherwise uses those."""
        values = x.astype(jnp.float32)
        if train:
            mean, var, count = self._batch_statistics(values)
            unbiased = jax.lax.stop_gradient(var) * (count / max(count - 1, 1))
            self.mean[...] = (1 - MOMENTUM) * self.mean[...] + MOMENTUM * jax.lax.stop_gradient(mean)
            self.var[...] = (1 - MOMENTUM) * self.var[...] + MOMENTUM * unbiased
        else:
            mean, var = self.mean[...], self.var[...]
        normalised = (values - mean) * (jax.lax.rsqrt(var + EPSILON) * self.scale[...]) + self.bias[...]
        return normalised.astype(x.dtype)

    def _batch_statistics(self, values: Array) -> tuple[Array, Array, int]:
        axes = tuple(range(values.ndim - 1))
        count = values.size // values.shape[-1]

        def average(a):
            a = a.mean(axes)
            return a if self.axis_name is None else jax.lax.pmean(a, self.axis_name)

        mean = average(values)
        var = average(jnp.square(values - mean))
        return mean, var, count if self.axis_name is None else count * jax.lax.axis_size(self.axis_name)
