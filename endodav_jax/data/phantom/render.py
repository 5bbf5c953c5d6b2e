"""Renders frames of a scene with exact depth and pose, compiled once for each size and family."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.scene import Scene
from endodav_jax.data.phantom.trace import RaysOf, ray_directions
from endodav_jax.data.phantom.view import View, look

SUBFRAMES = 2  # samples before the middle of a long exposure, and as many after it
_OTHER_SENSOR = 0x85EBCA6B  # seed of the second eye's noise, mixed into the first's


def render_frame(
    scene: Scene, frame_index: jax.Array, height: int, width: int, rays_of: RaysOf = ray_directions
) -> dict[str, jax.Array]:
    """Renders one frame; pure, to be used inside `jit`.

    Args:
      scene: what is there.
      frame_index: when.
      height: in pixels.
      width: in pixels.
      rays_of: the lens; `trace.ray_directions` is the pinhole.

    Returns:
      frame uint8 [H,W,3]; depth_mm float32 [H,W], z in the camera, 0 where the view is masked or no ray arrived;
      cam_from_world float32 [4,4], mm; intrinsics float32 [4]; view_mask bool [H,W]; tool bool [H,W]; with
      a second eye also right uint8 [H,W,3].  Depth, pose and masks are those of the middle of the exposure.
    """
    t = frame_index.astype(jnp.float32)
    intrinsics = scene.lens.intrinsics(height, width)
    see = functools.partial(_picture, scene, t, intrinsics, height, width, rays_of)
    frame, view, view_mask = see(None)
    rendered = {
        "frame": frame,
        "depth_mm": jnp.where(view_mask & view.met.reshape(height, width), view.depth_mm.reshape(height, width), 0.0),
        "cam_from_world": view.cam_from_world,
        "intrinsics": intrinsics,
        "view_mask": view_mask,
        "tool": view.tool.reshape(height, width) & view_mask,
    }
    if scene.extras.baseline_mm is not None:
        rendered["right"] = see(scene.extras.baseline_mm)[0]
    return rendered


def _picture(
    scene: Scene,
    t: jax.Array,
    intrinsics: jax.Array,
    height: int,
    width: int,
    rays_of: RaysOf,
    eye_mm: jax.Array | None,
) -> tuple[jax.Array, View, jax.Array]:
    """What one eye's sensor gives, uint8 [H,W,3], the view in the middle of the exposure, and the view's mask."""
    view = look(scene, t, intrinsics, height, width, rays_of, eye_mm)
    radiance = view.radiance
    if scene.extras.shutter is not None:
        # The middle one exists already; the others are rendered one by one, like the frames of a clip.
        offsets = jnp.array([k for k in range(-SUBFRAMES, SUBFRAMES + 1) if k], jnp.float32) / (2 * SUBFRAMES + 1)
        others = jax.lax.map(
            lambda k: look(scene, t + k * scene.extras.shutter, intrinsics, height, width, rays_of, eye_mm).radiance,
            offsets,
        )
        radiance = (radiance + others.sum(0)) / (2 * SUBFRAMES + 1)
    radiance = radiance.reshape(3, height, width)
    sensor, wet_lens = scene.sensor, scene.extras.wet_lens
    if eye_mm is not None:
        sensor = dataclasses.replace(sensor, seed=sensor.seed ^ jnp.uint32(_OTHER_SENSOR))
        wet_lens = None if wet_lens is None else wet_lens.of_other_eye()
    if wet_lens is not None:
        radiance = wet_lens.through(radiance, t)
    view_mask = scene.lens.view_mask(height, width)
    picture = sensor.expose(radiance, view_mask, scene.light.flat, t)
    return jnp.round(picture * 255.0).astype(jnp.uint8), view, view_mask


@functools.partial(jax.jit, static_argnames=("height", "width"))
def render_clip(scene: Scene, frame_indices: jax.Array, *, height: int, width: int) -> dict[str, jax.Array]:
    """Renders frames [T] of one scene: `render_frame`'s arrays with a leading T.

    Frames are rendered one by one so that their arrays stay in cache.
    """
    return jax.lax.map(lambda i: render_frame(scene, i, height, width), frame_indices)
