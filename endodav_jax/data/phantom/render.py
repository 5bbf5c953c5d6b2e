"""From a scene and frame numbers to pictures with exact depth and pose, compiled once for each size and family."""

import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.camera import camera_pose
from endodav_jax.data.phantom.scene import Scene
from endodav_jax.data.phantom.trace import (
    HIT_MM,
    RaysOf,
    field_and_gradient,
    points_at,
    pose_of_rays,
    ray_directions,
    rotate,
    trace,
)

SUN = (0.48, -0.6, 0.64)  # direction to the lamp of the `flat` light, in the world
SHADOW_GAP_MM = 0.02  # a point is lifted so far off its own solid before its shadow is looked for


def render_frame(
    scene: Scene, frame_index: jax.Array, height: int, width: int, rays_of: RaysOf = ray_directions
) -> dict[str, jax.Array]:
    """Renders one frame; pure, to be used inside `jit`.

    Args:
      scene: what is there.
      frame_index: when.
      height: in pixels.
      width: in pixels.
      rays_of: the lens, `trace.ray_directions` or `trace.fisheye_directions`.

    Returns:
      frame uint8 [H,W,3]; depth_mm float32 [H,W], z in the camera, 0 where the view is masked or no ray arrived;
      cam_from_world float32 [4,4], mm; intrinsics float32 [4]; view_mask bool [H,W]; tool bool [H,W].
    """
    t = frame_index.astype(jnp.float32)
    intrinsics = scene.lens.intrinsics(height, width)
    cam_from_world = camera_pose(scene.shape, scene.path, t)
    world_from_cam, origin = pose_of_rays(cam_from_world)
    rays = rays_of(intrinsics, height, width, 1)
    directions = rotate(world_from_cam, rays)

    def field(points):
        return scene.shape.field(scene.breathing.at_rest(points, t))

    wall_mm = trace(field, scene.curvature, cam_from_world, intrinsics, height, width, rays_of)
    surface_mm, solid = wall_mm, None
    if scene.shape.solids is not None:
        solid_mm, solid, solid_normal = scene.shape.solids.meet(origin, directions)
        solid = jnp.where(solid_mm < wall_mm, solid, -1)
        surface_mm = jnp.minimum(solid_mm, wall_mm)
    points = points_at(origin, directions, surface_mm)
    value, gradient = field_and_gradient(field, points)
    inverse = jax.lax.rsqrt(sum(g * g for g in gradient) + 1e-12)
    world_normal = tuple(g * inverse for g in gradient)
    met = jnp.abs(value) < HIT_MM
    if solid is not None:  # and `solid_normal` with it
        met = met | (solid >= 0)
        world_normal = tuple(jnp.where(solid >= 0, a, b) for a, b in zip(solid_normal, world_normal, strict=True))
    sun = jnp.maximum(sum(s * n for s, n in zip(SUN, world_normal, strict=True)), 0.0)
    normal = rotate(cam_from_world[:3, :3], world_normal)

    tool_mm, tool_normal, from_tip = scene.tool.meet(rays, t)
    tool = tool_mm < surface_mm
    depth_mm = jnp.where(tool, tool_mm, surface_mm)
    normal = tuple(jnp.where(tool, a, b) for a, b in zip(tool_normal, normal, strict=True))

    at_rest = scene.breathing.at_rest(points, t)
    footprint = jnp.where(scene.light.flat > 0, 0.0, surface_mm / intrinsics[0])
    reflectance, film, gloss, shine = scene.surface.appearance(at_rest, scene.shape.parts(at_rest), solid, footprint)
    reflectance = jnp.where(tool, scene.tool.reflectance(from_tip), reflectance)
    gloss = jnp.where(tool, 80.0, gloss)
    shine = jnp.where(tool, 2.0 * scene.surface.shine[0], shine)
    hit = tuple(depth_mm * r for r in rays)
    film = tuple(jnp.where(tool, 0.0, f) for f in film)

    def lit_from(lamp_mm):
        if scene.shape.solids is None:
            return jnp.ones_like(surface_mm, bool)
        return scene.shape.solids.reached(
            tuple(p + SHADOW_GAP_MM * n for p, n in zip(points, world_normal, strict=True)), lamp_mm
        )

    radiance = scene.light.radiance(hit, normal, film, sun, reflectance, gloss, shine, cam_from_world, lit_from)

    view_mask = scene.lens.view_mask(height, width)
    picture = scene.sensor.expose(radiance.reshape(3, height, width), view_mask, scene.light.flat, t)
    met = met | tool
    return {
        "frame": jnp.round(picture * 255.0).astype(jnp.uint8),
        "depth_mm": jnp.where(view_mask & met.reshape(height, width), depth_mm.reshape(height, width), 0.0),
        "cam_from_world": cam_from_world,
        "intrinsics": intrinsics,
        "view_mask": view_mask,
        "tool": tool.reshape(height, width) & view_mask,
    }


@functools.partial(jax.jit, static_argnames=("height", "width", "frames_at_once"))
def render_clip(
    scene: Scene, frame_indices: jax.Array, *, height: int, width: int, frames_at_once: int = 1
) -> dict[str, jax.Array]:
    """Renders frames [T] of one scene: `render_frame`'s arrays with a leading T.

    Frames go one by one so that a frame's arrays stay in cache; on an accelerator set `frames_at_once` to more.
    """
    return jax.lax.map(
        lambda i: render_frame(scene, i, height, width), frame_indices, batch_size=_batch(frames_at_once)
    )


@functools.partial(jax.jit, static_argnames=("height", "width", "frames_at_once"))
def render_batch(
    scenes: Scene, frame_indices: jax.Array, *, height: int, width: int, frames_at_once: int = 1
) -> dict[str, jax.Array]:
    """Renders frames [B,T] of B scenes (leaves with a leading B): `render_frame`'s arrays with leading B, T."""
    batch, length = frame_indices.shape
    which = jnp.repeat(jnp.arange(batch), length)

    def one(item):
        scene = jax.tree.map(lambda leaf: leaf[item[0]], scenes)
        return render_frame(scene, item[1], height, width)

    flat = jax.lax.map(one, (which, frame_indices.reshape(-1)), batch_size=_batch(frames_at_once))
    return jax.tree.map(lambda leaf: leaf.reshape(batch, length, *leaf.shape[1:]), flat)


def _batch(frames_at_once: int) -> int | None:
    return None if frames_at_once == 1 else frames_at_once
