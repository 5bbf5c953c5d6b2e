"""Clips that the phantom's tests look at, all of one small size so that few programs are compiled."""

import functools

import numpy as np

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip

HEIGHT, WIDTH, LENGTH = 64, 80, 8


@functools.cache
def clip(config: PhantomConfig, sequence: int, start: int = 0) -> dict[str, np.ndarray]:
    """`LENGTH` frames from `start` on, as NumPy arrays with a leading axis of frames."""
    frames = np.arange(start, start + LENGTH, dtype=np.int32)
    arrays = render_clip(draw_scene(config, sequence), frames, height=HEIGHT, width=WIDTH)
    return {name: np.asarray(array) for name, array in arrays.items()}


def pixel_grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's centre, [H,W]."""
    return np.meshgrid(np.arange(WIDTH, dtype=np.float64), np.arange(HEIGHT, dtype=np.float64))


def camera_points(depth_mm: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points [H,W,3] that pixels see, in the camera."""
    x, y = pixel_grid()
    fx, fy, cx, cy = intrinsics.astype(np.float64)
    return np.stack([(x - cx) / fx * depth_mm, (y - cy) / fy * depth_mm, depth_mm], -1)


def world_points(depth_mm: np.ndarray, intrinsics: np.ndarray, cam_from_world: np.ndarray) -> np.ndarray:
    """The same points in the world."""
    world_from_cam = np.linalg.inv(cam_from_world.astype(np.float64))
    return camera_points(depth_mm, intrinsics) @ world_from_cam[:3, :3].T + world_from_cam[:3, 3]


def project(points: np.ndarray, intrinsics: np.ndarray, cam_from_world: np.ndarray) -> tuple[np.ndarray, ...]:
    """x, y and depth at which a camera sees world points [H,W,3]."""
    pose = cam_from_world.astype(np.float64)
    seen = points @ pose[:3, :3].T + pose[:3, 3]
    fx, fy, cx, cy = intrinsics.astype(np.float64)
    return seen[..., 0] / seen[..., 2] * fx + cx, seen[..., 1] / seen[..., 2] * fy + cy, seen[..., 2]


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of [H,W,...] at positions [H,W], edges repeated."""
    x, y = np.clip(x, 0, WIDTH - 1.001), np.clip(y, 0, HEIGHT - 1.001)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    wx, wy = (a.reshape(a.shape + (1,) * (image.ndim - 2)) for a in (x - left, y - top))
    upper = image[top, left] * (1 - wx) + image[top, left + 1] * wx
    lower = image[top + 1, left] * (1 - wx) + image[top + 1, left + 1] * wx
    return upper * (1 - wy) + lower * wy
