"""Scenes seen through a wide lens that bends straight lines, as endoscopes have it, up to 150 degrees."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.data.phantom.render import render_frame
from endodav_jax.data.phantom.scene import Scene
from endodav_jax.data.phantom.shapes import Points
from endodav_jax.data.phantom.trace import RaysOf, ray_directions

HALF_ANGLE_DEGREES = (38.0, 74.0)  # off the axis, in the corners
BEND = (0.5, 1.0)  # 0 is a pinhole, 1 shows equal angles as equal distances
_WIDEST = 1.38  # rad off the axis, where directions with z = 1 still have sensible lengths


def through_wide_lens(scene: Scene, rng: np.random.Generator, height: int, width: int) -> tuple[Scene, float]:
    """Draws a lens; returns the scene with its focal length, and how far it bends, for `render_bent`."""
    bend = rng.uniform(*BEND)
    angle = np.radians(rng.uniform(*HALF_ANGLE_DEGREES))
    corner = np.arctan(bend * np.tan(angle)) / bend  # distance from the centre, in focal lengths
    focal = 0.5 * np.hypot(height, width) / width / corner
    return dataclasses.replace(scene, lens=dataclasses.replace(scene.lens, focal=jnp.float32(focal))), float(bend)


@functools.partial(jax.jit, static_argnames=("height", "width"))
def render_bent(
    scene: Scene, frame_indices: jax.Array, bend: jax.Array, *, height: int, width: int
) -> dict[str, jax.Array]:
    """Renders frames [T] as `render_clip` does; depth is along the axis, and intrinsics hold in the centre alone."""
    rays_of = bent_rays(bend)
    return jax.lax.map(lambda i: render_frame(scene, i, height, width, rays_of), frame_indices)


def bent_rays(bend: jax.Array | float) -> RaysOf:
    """The rays of a lens that shows what lies at angle a off the axis at a distance of atan(bend tan a) / bend focal
    lengths from the centre; `bend` must be above 0."""

    def rays_of(intrinsics: jax.Array, height: int, width: int, cell: int) -> Points:
        x, y, one = ray_directions(intrinsics, height, width, cell)
        distance = bend * jnp.sqrt(x * x + y * y + 1e-12)
        stretch = jnp.tan(jnp.minimum(distance, _WIDEST)) / distance
        return x * stretch, y * stretch, one

    return rays_of
