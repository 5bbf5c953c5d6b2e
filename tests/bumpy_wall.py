"""A painted, bumpy wall that any camera can look at: exact depth for tests, in milliseconds."""

import functools

import numpy as np

from endodav_jax.geometry.poses import inverse_rigid

SIZE = (72, 96)
INTRINSICS = np.array([80.0, 80.0, 47.0, 36.0])


def wall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of the wall from the plane z = 0, mm."""
    return 40 + 4 * np.sin(x / 7) + 3 * np.cos(y / 9)


def distance_to_wall(points: np.ndarray) -> np.ndarray:
    """Distances of points [N,3] from the wall, to first order."""
    x, y, z = points.T
    slope_x, slope_y = 4 / 7 * np.cos(x / 7), -3 / 9 * np.sin(y / 9)
    return np.abs(z - wall(x, y)) / np.sqrt(1 + slope_x**2 + slope_y**2)


@functools.cache
def _paint() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    angle, length = random.uniform(0, np.pi, (3, 40)), random.uniform(2.0, 12.0, (3, 40))
    direction = np.stack([np.cos(angle), np.sin(angle)], -1) * (2 * np.pi / length)[..., None]
    return direction, random.uniform(0, 2 * np.pi, (3, 40)), random.uniform(4.0, 11.0, (3, 40))


def look(cam_from_world: np.ndarray, intrinsics: np.ndarray = INTRINSICS, size: tuple[int, int] = SIZE):
    """Returns what a camera sees: uint8 [H,W,3], and depth float32 [H,W] in mm."""
    fx, fy, cx, cy = intrinsics
    v, u = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], -1)
    world_from_cam = inverse_rigid(np.asarray(cam_from_world, np.float64))
    directions, origin = rays @ world_from_cam[:3, :3].T, world_from_cam[:3, 3]
    depth = np.full(size, 40.0)
    for _ in range(25):
        points = origin + depth[..., None] * directions
        depth = depth - 0.9 * (points[..., 2] - wall(points[..., 0], points[..., 1])) / directions[..., 2]
    points = origin + depth[..., None] * directions
    direction, phase, strength = _paint()
    waves = np.sin(np.tensordot(points[..., :2], direction, (2, 2)) + phase)
    rgb = np.array([150, 105, 95]) + (waves * strength).sum(-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8), depth.astype(np.float32)


def pose(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)) -> np.ndarray:
    """`cam_from_world` of a camera at a place (mm), turned about x, y and z (radians)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(turn), np.sin(turn)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    found = np.eye(4)
    found[:3, :3] = about_x @ about_y @ about_z
    found[:3, 3] = -found[:3, :3] @ (x, y, z)
    return found


def stroll(frames: int) -> list[np.ndarray]:
    """Poses of a camera that sways before the wall, half a millimetre to one a frame, and turns a little."""
    t = np.arange(frames)
    return [
        pose(
            12 * np.sin(a / 14),
            6 * np.sin(a / 9),
            5 * np.sin(a / 17),
            (0.05 * np.sin(a / 11), 0.08 * np.sin(a / 13), 0.1 * np.sin(a / 19)),
        )
        for a in t
    ]
