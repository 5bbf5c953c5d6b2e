"""A small world whose every number is known in closed form: a tilted plane and a sphere, smoothly painted."""

import numpy as np

from endodav_jax.data.sources import SourceFrame

SPHERE = np.array([6.0, -4.0, 55.0])
RADIUS = 12.0
PLANE = np.array([0.15, -0.1, 1.0, 75.0])  # n . X = d


def render_truth(
    frames: int, height: int = 48, width: int = 64, sequence: str = "truth", fov: float = 1.0
) -> list[SourceFrame]:
    """Returns exact frames of a camera that moves sideways, forward and turns; world = the first camera, in mm."""
    intrinsics = np.array([fov * width, fov * width * 1.01, 0.46 * width, 0.52 * height])
    return [
        render_frame(cam_from_world_at(i), intrinsics, height, width, frame_index=i, sequence=sequence)
        for i in range(frames)
    ]


def cam_from_world_at(i: int) -> np.ndarray:
    """Returns the pose of frame i, float64 [4, 4]; large enough steps to tell a pose from its inverse."""
    a, b = 0.01 * i, 0.004 * i
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = turn_z @ turn_y
    pose[:3, 3] = (0.8 * i, -0.3 * i, -0.2 * i)
    return pose


def render_frame(cam_from_world, intrinsics, height, width, *, frame_index, sequence, rays=None) -> SourceFrame:
    """Returns a frame with exact Z (float32 [H, W]) and colours of the surface points in the world.

    `rays` [H, W, 3] (z = 1) replaces those of the pinhole camera.
    """
    if rays is None:
        fx, fy, cx, cy = intrinsics
        u, v = np.meshgrid(np.arange(width), np.arange(height))
        rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u, float)], axis=-1)
    rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
    origin = -rotation.T @ translation
    directions = rays @ rotation  # of world, so that t is Z in the camera
    z = _nearest(origin, directions)
    points = origin + directions * z[..., None]
    return SourceFrame(
        frame=paint(points),
        depth_mm=z.astype(np.float32),
        cam_from_world=cam_from_world,
        intrinsics=np.asarray(intrinsics, np.float64),
        frame_index=frame_index,
        sequence=sequence,
    )


def paint(points: np.ndarray) -> np.ndarray:
    """Returns the colour of world points [..., 3] as uint8; smooth, different in every channel, never dark."""
    x, y, z = np.moveaxis(points, -1, 0)
    red = 170 + 50 * np.sin(x / 8.0) * np.cos(y / 9.0)
    green = 110 + 40 * np.cos(x / 9.0 + y / 7.0)
    blue = 80 + 30 * np.sin(y / 8.0 - z / 11.0)
    return np.clip(np.stack([red, green, blue], axis=-1), 20, 250).astype(np.uint8)


def _nearest(origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    plane = (PLANE[3] - origin @ PLANE[:3]) / (directions @ PLANE[:3])
    a = (directions**2).sum(-1)
    b = directions @ (origin - SPHERE)
    c = ((origin - SPHERE) ** 2).sum() - RADIUS**2
    root = b * b - a * c
    sphere = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    return np.minimum(plane, np.where(sphere > 0, sphere, np.inf))
