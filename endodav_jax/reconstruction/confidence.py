"""Confidence of depth: the expected relative error of each pixel, predicted without ground truth.

There are three kinds of features.  The error of depth: from the points to which the path was adjusted, whose depth is
known from parallax, since a network's error near a pixel resembles that at the surrounding points; and where depth is
contradicted by neighbouring frames (warped by depth and motion) or by a second window, at least half of the difference.
The difference of texture to neighbouring frames after warping.  And the slant of the surface.  The expected error grows
with a power of each, and a monotone curve calibrates it; `tools/fit_confidence.py` fits both on phantoms.
"""

import dataclasses
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from endodav_jax.files import json_text, whole_file
from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.reconstruction.clip import DepthView
from endodav_jax.reconstruction.tracker import POINT_DEVIATION, weighed_ratios
from endodav_jax.reconstruction.views import pixel_rays, surface_normals, texture_of

OFFSETS = (-6, -3, 3, 6)  # neighbours, in frames
FEATURES = ("off", "texture", "slant")
LEAST_TEXTURE = 0.05  # difference below which it says nothing more
USUAL_TEXTURE = 0.2  # difference where no neighbour sees anything of a frame
NEARBY = 0.06  # of the frame's shorter side: standard deviation within which points speak for a pixel
UNKNOWN_DEVIATION = 0.15  # of log depth where there are no points, about that of a network
LEAST_RATIO = 0.005  # relative error below which nothing is claimed
UNSEEN_ERROR = 2.0  # for pixels without depth
MOST = 2.0
SHIPPED = {False: "confidence.json", True: "confidence_steadied.json"}  # of depth as it comes, and steadied


@dataclasses.dataclass(frozen=True)
class ConfidenceModel:
    """A weighted sum of `FEATURES`, the logarithm of the error, and the curve from predicted to measured errors.

    Attributes:
      weights: float64 [F], nonnegative.
      bias: of the sum.
      said, found: [K] knots of predicted and measured relative errors, ascending.
    """

    weights: np.ndarray
    bias: float
    said: np.ndarray
    found: np.ndarray

    def expected_error(self, features: np.ndarray) -> np.ndarray:
        """Returns the expected relative error, float32 [...], for features [...,F]."""
        said = features @ self.weights + self.bias
        curve = np.interp(said, np.log(self.said), np.log(self.found))
        # Beyond the measured range, the slope of the sum continues.
        low, high = np.log(self.said[0]), np.log(self.said[-1])
        curve = curve + np.minimum(said - low, 0) + np.maximum(said - high, 0)
        return np.exp(np.minimum(curve, np.log(MOST))).astype(np.float32)

    def write(self, path: Path, **notes: str) -> None:
        """Writes it as JSON, with notes on what it was fitted to.

        Raises:
          UserError: it cannot be written.
        """
        about: dict[str, Any] = {**notes, "weights": dict(zip(FEATURES, _rounded(self.weights), strict=True))}
        about |= {"bias": round(self.bias, 5), "said": _rounded(self.said), "found": _rounded(self.found)}
        with whole_file(path) as part:
            part.write_text(json_text(about))

    @classmethod
    def read(cls, path: Path) -> "ConfidenceModel":
        """Reads a file written by `write`.

        Raises:
          ValueError: it was fitted to other features.
        """
        about = json.loads(path.read_text())
        if tuple(about["weights"]) != FEATURES:
            raise ValueError(f"{path}: fitted to other features; run tools/fit_confidence.py")
        weights = np.array(list(about["weights"].values()), np.float64)
        return cls(weights, float(about["bias"]), np.asarray(about["said"]), np.asarray(about["found"]))

    @classmethod
    def shipped(cls, steadied: bool = False) -> "ConfidenceModel":
        """The model shipped with the package, for depth as it comes or steadied along the path."""
        with resources.as_file(resources.files("endodav_jax.reconstruction") / SHIPPED[steadied]) as path:
            return cls.read(path)


def measure(
    view: DepthView,
    neighbours: Sequence[tuple[DepthView, np.ndarray]],
    intrinsics: np.ndarray,
    triangulated: np.ndarray | None = None,
) -> np.ndarray:
    """Returns `FEATURES` of every pixel, float32 [H,W,F].

    Args:
      view: the frame.
      neighbours: frames with `neighbour_from_view` [4,4] each, in the depth's unit; may be empty.
      intrinsics: [4].
      triangulated: [K,4], see `Tracked`; None where no points were followed.
    """
    tissue = view.inside & (view.depth > 0)
    depth = np.where(tissue, view.depth, 0).astype(np.float32)
    rays = pixel_rays(depth.shape, intrinsics)
    normals, _ = surface_normals(rays * depth[..., None], depth)
    cosine = np.clip(-(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1), 0.05, 1)
    texture = texture_of(view.rgb, tissue)
    differences, textures = [], []
    for other, motion in neighbours:
        known = other.inside & (other.depth > 0)
        maps = np.stack([np.where(known, other.depth, 0), texture_of(other.rgb, known), known], -1).astype(np.float32)
        found = _differences(depth, texture, maps, np.asarray(intrinsics, np.float32), np.asarray(motion, np.float32))
        differences.append(np.asarray(found[0]))
        textures.append(np.asarray(found[1]))
    apart, unlike = _medians(differences, depth.shape), _medians(textures, depth.shape)
    contradicted = np.nan_to_num(apart) ** 2
    if view.window_difference is not None:
        contradicted = contradicted + view.window_difference**2
    by_points = _folded_mean(*_ratios(triangulated, depth.shape))
    off = np.sqrt(by_points**2 + contradicted / 4)
    seen = np.isfinite(unlike)
    usual = float(np.median(unlike[seen])) if seen.any() else USUAL_TEXTURE
    unlike = np.where(seen, unlike, usual)
    features = np.log(off + LEAST_RATIO), np.log(unlike + LEAST_TEXTURE), -np.log(cosine)
    return np.stack(features, -1).astype(np.float32)


@jax.jit
def _differences(depth, texture, maps, intrinsics, neighbour_from_view):
    """Relative difference of depth and difference of texture at every pixel; nan where not visible in the neighbour.

    Points occluded in the neighbour by something nearer also count as differences; with correct motion and depth there
    are few of them.
    """
    pixels, there = reproject(depth[None], intrinsics[None], neighbour_from_view[None])
    height, width = depth.shape
    x, y = pixels[0, ..., 0], pixels[0, ..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1) & (there[0] > 0) & (depth > 0)
    sampled = sample_bilinear(maps[None], jnp.where(inside[None, ..., None], pixels, 0.0), "border")[0]
    seen = inside & (sampled[..., 2] > 0.99)
    apart = jnp.abs(sampled[..., 0] / jnp.where(seen, there[0], 1.0) - 1)
    return jnp.where(seen, jnp.minimum(apart, 1.0), jnp.nan), jnp.where(
        seen, jnp.abs(sampled[..., 1] - texture), jnp.nan
    )


def depth_by_points(depth: np.ndarray, triangulated: np.ndarray | None) -> np.ndarray:
    """Returns depth corrected by the log ratios of the points around each pixel, float32 [H,W]."""
    return (depth * np.exp(_ratios(triangulated, depth.shape)[0])).astype(np.float32)


def _ratios(triangulated: np.ndarray | None, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the log ratio of depth at each pixel according to the tracked points, [H,W] each.

    Around each pixel the log ratios of the points are averaged, with more weight for near ones and large parallax, and
    shrunk towards the frame's mean where points are few.
    """
    if triangulated is None or not len(triangulated):
        triangulated = np.zeros((0, 4), np.float32)
    height, width = shape
    columns = np.clip((triangulated[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip((triangulated[:, 1] * height).astype(int), 0, height - 1)
    ratios, weight = weighed_ratios(triangulated)
    # Where nothing is known, assume one point with this deviation and no error.
    known = 1 / UNKNOWN_DEVIATION**2
    whole = weight.sum() + known
    usual = float((weight * ratios).sum() / whole)
    variance = float(((weight * (ratios - usual) ** 2).sum() + 1) / whole) + POINT_DEVIATION**2
    sums = np.zeros((2, *shape), np.float32)
    for heap, values in zip(sums, (weight, weight * ratios), strict=True):
        np.add.at(heap, (rows, columns), values)
    reach = NEARBY * min(shape)
    area = 2 * np.pi * reach**2
    near, told = (cv2.GaussianBlur(heap, (0, 0), reach, borderType=cv2.BORDER_CONSTANT) * area for heap in sums)
    total = near + 1 / variance
    return (told + usual / variance) / total, 1 / np.sqrt(total)


def _folded_mean(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Mean of |x| of a normal x."""
    share = mean / deviation
    return deviation * np.sqrt(2 / np.pi) * np.exp(-0.5 * share**2) + mean * scipy.special.erf(share / np.sqrt(2))


def _medians(maps: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Median over the maps that have a value at a pixel; nan if none has."""
    if not maps:
        return np.full(shape, np.nan, np.float32)
    stack = np.sort(np.stack(maps), axis=0)  # nan last
    count = np.isfinite(stack).sum(0)
    low = np.take_along_axis(stack, np.maximum((count - 1) // 2, 0)[None], 0)[0]
    high = np.take_along_axis(stack, np.maximum(count // 2, 0).clip(0, len(maps) - 1)[None], 0)[0]
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def _rounded(values: np.ndarray) -> list:
    return np.round(np.asarray(values, np.float64), 5).tolist()
