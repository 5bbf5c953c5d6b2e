"""What one eye sees of a scene in one frame: radiance, exact depth, and instruments' masks."""

import dataclasses
from typing import NamedTuple

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
    rotate,
    trace,
)

SUN = (0.48, -0.6, 0.64)  # direction to the lamp of the `flat` light, in the world
SHADOW_GAP_MM = 0.02  # how far a point is lifted off its own solid before testing for shadow


class View(NamedTuple):
    """Pixels are in rows, N = H * W.

    Attributes:
      radiance: linear RGB [3,N].
      depth_mm: [N], z in the camera, of whatever is nearest.
      met: bool [N], whether the ray arrived.
      tool: bool [N], whether an instrument is nearest.
      cam_from_world: [4,4], mm.
    """

    radiance: jax.Array
    depth_mm: jax.Array
    met: jax.Array
    tool: jax.Array
    cam_from_world: jax.Array


def look(
    scene: Scene,
    t: jax.Array,
    intrinsics: jax.Array,
    height: int,
    width: int,
    rays_of: RaysOf,
    eye_mm: jax.Array | None = None,
) -> View:
    """Looks at a scene at time `t` (frame number, may be fractional); pure, to be used inside `jit`.

    Args:
      scene: what is there.
      t: when.
      intrinsics: [4].
      height: in pixels.
      width: in pixels.
      rays_of: the lens.
      eye_mm: how far the eye is to the right of the camera that carries lamps and instruments; None for that itself.
    """
    cam_from_world = camera_pose(scene.shape, scene.path, t)
    tool_at, instruments, carried_mm = scene.tool, scene.extras.instruments, None
    if eye_mm is not None:
        carried_mm = jnp.stack([-eye_mm, jnp.float32(0.0), jnp.float32(0.0)])
        cam_from_world = cam_from_world.at[:3, 3].add(carried_mm)
        tool_at = dataclasses.replace(tool_at, base=tool_at.base + carried_mm, tip=tool_at.tip + carried_mm)
        instruments = None if instruments is None else instruments.shifted(carried_mm)
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

    tool_mm, tool_normal, from_tip = tool_at.meet(rays, t)
    tool = tool_mm < surface_mm
    depth_mm = jnp.where(tool, tool_mm, surface_mm)
    normal = tuple(jnp.where(tool, a, b) for a, b in zip(tool_normal, normal, strict=True))

    at_rest = scene.breathing.at_rest(points, t)
    footprint = jnp.where(scene.light.flat > 0, 0.0, surface_mm / intrinsics[0])
    reflectance, film, gloss, shine = scene.surface.appearance(at_rest, scene.shape.parts(at_rest), solid, footprint)
    reflectance = jnp.where(tool, scene.tool.reflectance(from_tip), reflectance)
    gloss = jnp.where(tool, 80.0, gloss)
    shine = jnp.where(tool, 2.0 * scene.surface.shine[0], shine)
    film = tuple(jnp.where(tool, 0.0, f) for f in film)

    shade = None
    if instruments is not None:

        def room(places):
            return scene.shape.clearance(points_at(origin, rotate(world_from_cam, places), jnp.float32(1.0)))

        rods = instruments.rods(t, room)
        rod_mm, rod_normal, from_end, which = instruments.meet(rays, rods)
        metal = rod_mm < depth_mm
        tissue = tuple(depth_mm * r for r in rays)
        lit = instruments.contact(tissue, rods)
        looks = instruments.appearance(rays, rod_normal, from_end, which)
        reflectance = jnp.where(metal, looks[0], lit * reflectance)
        film, normal = (
            tuple(jnp.where(metal, a, b) for a, b in zip(new, old, strict=True))
            for new, old in ((looks[1], film), (rod_normal, normal))
        )
        gloss, shine = jnp.where(metal, looks[2], gloss), jnp.where(metal, looks[3], shine)
        depth_mm, tool = jnp.where(metal, rod_mm, depth_mm), tool | metal

        def shade(lamp_mm):  # of the camera's coordinates
            return jnp.where(metal, 1.0, instruments.shade(tissue, rods, lamp_mm))

    hit = tuple(depth_mm * r for r in rays)

    def lit_from(lamp_mm):
        if scene.shape.solids is None:
            return jnp.ones_like(surface_mm, bool)
        return scene.shape.solids.reached(
            tuple(p + SHADOW_GAP_MM * n for p, n in zip(points, world_normal, strict=True)), lamp_mm
        )

    radiance = scene.light.radiance(
        hit, normal, film, sun, reflectance, gloss, shine, cam_from_world, lit_from, shade, carried_mm
    )
    if scene.extras.smoke is not None:
        passed = scene.extras.smoke.passed(origin, points_at(origin, directions, depth_mm), t)
        radiance = scene.extras.smoke.veil(radiance, passed)
    return View(radiance, depth_mm, met | tool, tool, cam_from_world)
