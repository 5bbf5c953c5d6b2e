"""Networks whose answers are given, so that the objective can be tested by itself, quickly.

They tell frames apart by brightness alone: a clip whose jittered frames are constant, frame i at brightness i, has
motions of one step between neighbours.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.pose import Motion

SCALES = 4
MOMENTUM = 0.1


def step_between(first: jax.Array, second: jax.Array) -> jax.Array:
    """How many frames later `first` is, [N]."""
    return (first - second).mean((1, 2, 3))


class GivenDepth(nnx.Module):
    """A disparity [T,H,W] for each frame of a clip; a shorter clip has its first frames'."""

    def __init__(self, disparity):
        self.config = DepthModelConfig()
        self.disparity = nnx.Param(jnp.asarray(disparity, jnp.float32))

    def __call__(self, frames, view_mask):
        del view_mask
        maps = self.disparity[...][: frames.shape[1]]
        return tuple(jnp.broadcast_to(maps, (*frames.shape[:2], *maps.shape[-2:])) for _ in range(SCALES))


class GivenPose(nnx.Module):
    """A motion of `axis_angle` and `translation` a step."""

    def __init__(self, axis_angle, translation):
        self.axis_angle = nnx.Param(jnp.asarray(axis_angle, jnp.float32))
        self.translation = nnx.Param(jnp.asarray(translation, jnp.float32))

    def __call__(self, first, second, train):
        step = step_between(first, second)[:, None]
        features = jnp.broadcast_to(step[:, :, None, None], (len(step), 1, 1, 1))
        return Motion(step * self.axis_angle[...], step * self.translation[...], features)


class GivenIntrinsics(nnx.Module):
    """One camera, if it is asked of the pair with the frame after."""

    def __init__(self, intrinsics):
        self.intrinsics = nnx.Param(jnp.asarray(intrinsics, jnp.float32))

    def __call__(self, features, height, width):
        del height, width
        return features[:, 0, 0] * self.intrinsics[...]


class GivenFlow(nnx.Module):
    """A flow (y, x) a step; its statistic follows the mean of `first` + 10 `second`."""

    def __init__(self, flow):
        self.flow = nnx.Param(jnp.asarray(flow, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((), jnp.float32))

    def __call__(self, first, second, train):
        if train:
            newest = jax.lax.stop_gradient((first + 10 * second).mean())
            self.mean[...] = (1 - MOMENTUM) * self.mean[...] + MOMENTUM * newest
        flow = step_between(first, second)[:, None, None, None] * self.flow[...]
        count, height, width, _ = first.shape
        return tuple(jnp.broadcast_to(flow, (count, height >> s, width >> s, 2)) for s in range(SCALES))


class GivenTransform(nnx.Module):
    """One change of colour everywhere; its statistic follows the mean of `first`."""

    def __init__(self, transform):
        self.transform = nnx.Param(jnp.asarray(transform, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros((), jnp.float32))

    def __call__(self, first, second, train):
        if train:
            newest = jax.lax.stop_gradient(first.mean())
            self.mean[...] = (1 - MOMENTUM) * self.mean[...] + MOMENTUM * newest
        count, height, width, _ = second.shape
        return tuple(jnp.broadcast_to(self.transform[...], (count, height >> s, width >> s, 3)) for s in range(SCALES))


class GivenNetworks(nnx.Module):
    """The five networks for frames of `shape` (T, H, W); what is not given is neutral."""

    def __init__(
        self, shape, disparity=0.05, axis_angle=(0, 0, 0), translation=(0, 0, 0), flow=(0, 0), transform=(0, 0, 0)
    ):
        _, height, width = shape
        self.depth = GivenDepth(jnp.broadcast_to(jnp.asarray(disparity, jnp.float32), shape))
        self.pose = GivenPose(axis_angle, translation)
        self.intrinsics = GivenIntrinsics([width, width, width / 2, height / 2])
        self.flow = GivenFlow(flow)
        self.transform = GivenTransform(transform)
