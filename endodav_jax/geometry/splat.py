"""Forward splatting: which pixels of a frame some pixel of its neighbour lands on."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.geometry.flow import flow_targets

# A pixel that receives less than this share of one pixel's weight counts as occluded.
VISIBLE_WEIGHT = 0.95


def correspondence_map(backward_flow: Float[Array, "N H W 2"]) -> Float[Array, "N H W"]:
    """Returns the sum of bilinear weights that lands on each pixel when every pixel follows the flow.

    What lands outside is lost.  Not meant to be differentiated.
    """
    count, height, width, _ = backward_flow.shape
    targets = flow_targets(backward_flow)
    # Beyond these bounds nothing lands; clipped so that the coordinates fit an integer.
    x, y = jnp.clip(targets[..., 0], -2, width + 1), jnp.clip(targets[..., 1], -2, height + 1)
    left, top = jnp.floor(x), jnp.floor(y)
    x, y = x - left, y - top
    image = jnp.arange(count, dtype=jnp.int32)[:, None, None] * (height * width)
    received = jnp.zeros(count * height * width, backward_flow.dtype)
    for row, weight_y in ((top.astype(jnp.int32), 1 - y), (top.astype(jnp.int32) + 1, y)):
        for column, weight_x in ((left.astype(jnp.int32), 1 - x), (left.astype(jnp.int32) + 1, x)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = image + jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            weight = jnp.where(inside, weight_y * weight_x, 0)
            received = received.at[index.reshape(-1)].add(weight.reshape(-1))
    return received.reshape(count, height, width)


def occlusion_mask(backward_flow: Float[Array, "N H W 2"]) -> Float[Array, "N H W"]:
    """Returns 1 where a pixel is seen in the neighbour too, and 0 where it is occluded.

    `backward_flow` is the flow of the *neighbour's* pixels to this frame (the published programs' "reverse" flow).
    """
    return (correspondence_map(backward_flow) > VISIBLE_WEIGHT).astype(backward_flow.dtype)
