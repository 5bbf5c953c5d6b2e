"""The one place where dense maps of losses become numbers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def masked_mean(
    values: Float[Array, "*map"], mask: Float[Array, "*map"] | Bool[Array, "*map"], axis_name: str | None = None
) -> Float[Array, ""]:
    """Returns the mean of `values` weighted by `mask`; 0, with derivatives 0, where the mask is empty.

    Masked values may be anything, even NaN or infinite: they affect neither the result nor its derivatives by other
    values.  What they were computed from is not protected: the chain rule multiplies their derivative, 0, by that of
    the caller's function, and 0 times infinity or NaN is NaN, as for `masked_mean(jnp.sqrt(x), mask)` where a masked x
    is 0.  Where such a function may meet masked inputs, replace those first: `jnp.sqrt(jnp.where(mask, x, 1.0))`.

    Args:
      values: a dense map.
      mask: weights of the same shape; not differentiated.
      axis_name: mapped axis (of devices) that shares the batch.  Then the weights are counted over all devices,
        and the mean *over devices* of what is returned, and of its gradient, is that of the whole batch.
    """
    weight = jax.lax.stop_gradient(mask).astype(values.dtype)
    total = weight.sum()
    if axis_name is not None:
        total = jax.lax.pmean(total, axis_name)
    counted = jnp.where(weight > 0, values, 0)
    return (weight * counted).sum() / jnp.where(total > 0, total, 1)


def masked_mean_of_pairs(
    along_x: Float[Array, "N H w"],
    along_y: Float[Array, "N h W"],
    masks: tuple[Array, Array],
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Returns the masked mean over horizontal neighbours plus that over vertical ones."""
    return masked_mean(along_x, masks[0], axis_name) + masked_mean(along_y, masks[1], axis_name)


def variance_of_log(depth: Float[Array, "N H W"], counted: Bool[Array, "N H W"]) -> Float[Array, "N"]:
    """Returns the variance of each frame's log depth over the pixels that count; 0 if there are none."""
    count = jnp.maximum(counted.sum((1, 2)), 1)
    log = jnp.where(counted, jnp.log(jnp.where(counted, depth, 1.0)), 0.0)
    middle = log.sum((1, 2)) / count
    return jnp.where(counted, (log - middle[:, None, None]) ** 2, 0.0).sum((1, 2)) / count
