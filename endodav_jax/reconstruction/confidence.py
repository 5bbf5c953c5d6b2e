"""How far to trust a depth: one number a pixel, the relative error to expect, from what can be seen without truth.

What tells: whether the windows that saw a frame agree, whether neighbouring frames agree once they are warped by depth
and motion, whether their textures do, how much at a slant the surface is seen, and whether a pixel is as bright as a
lamp beside the lens would make it at its depth.  A small network makes the expected relative error of them, and a
monotone curve brings it onto what was found.  `tools/fit_confidence.py` fits both on phantoms.
"""

import dataclasses
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.files import whole_file
from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.reconstruction.clip import DepthView
from endodav_jax.reconstruction.views import pixel_rays, surface_normals, texture_of

OFFSETS = (-6, -3, 3, 6)  # neighbours, in frames
FEATURES = (
    "neighbours", "texture", "slant", "windows", "depth", "edge", "neighbours unseen", "windows unseen", "lamp",
    "brightness", "off centre",
)  # fmt: skip
LEAST = (1e-3, 0.05, 1e-3)  # below which differences of depth, texture and windows say nothing more
GAMMA = 2.2  # of video, about
UNSEEN_ERROR = 2.0  # of a pixel without depth, for which nothing is claimed
MOST = 2.0


@dataclasses.dataclass(frozen=True)
class ConfidenceModel:
    """A small network from `FEATURES` to the logarithm of the error, and the curve from what it says to what was found.

    Attributes:
      middle, spread: [F] by which features are brought to one size.
      layers: (weights [n,m], bias [m]) of each layer, with tanh between them.
      said, found: [K] knots of relative errors, ascending.
    """

    middle: np.ndarray
    spread: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    said: np.ndarray
    found: np.ndarray

    def expected_error(self, features: np.ndarray) -> np.ndarray:
        """Returns the relative error to expect, float32 [...], of features [...,F]."""
        said = log_error(self.layers, (features - self.middle) / self.spread, np)
        curve = np.interp(said, np.log(self.said), np.log(self.found))
        # Beyond the ends of what was measured, the network's own slope goes on.
        low, high = np.log(self.said[0]), np.log(self.said[-1])
        curve = curve + np.minimum(said - low, 0) + np.maximum(said - high, 0)
        return np.exp(np.minimum(curve, np.log(MOST))).astype(np.float32)

    def write(self, path: Path, **notes: str) -> None:
        """Writes it as JSON, with notes on what it was fitted to.

        Raises:
          UserError: it cannot be written.
        """
        about = notes | {"features": FEATURES, "middle": _rounded(self.middle), "spread": _rounded(self.spread)}
        about["layers"] = [{"weights": _rounded(weights), "bias": _rounded(bias)} for weights, bias in self.layers]
        about |= {"said": _rounded(self.said), "found": _rounded(self.found)}
        with whole_file(path) as part:
            part.write_text(json.dumps(about) + "\n")

    @classmethod
    def read(cls, path: Path) -> "ConfidenceModel":
        """Reads what `write` wrote.

        Raises:
          ValueError: it was fitted to other features.
        """
        about = json.loads(path.read_text())
        if tuple(about["features"]) != FEATURES:
            raise ValueError(f"{path}: fitted to other features; run tools/fit_confidence.py")
        arrays = (np.asarray(about[name], np.float32) for name in ("middle", "spread", "said", "found"))
        middle, spread, said, found = arrays
        layers = tuple(
            (np.asarray(layer["weights"], np.float32), np.asarray(layer["bias"], np.float32))
            for layer in about["layers"]
        )
        return cls(middle, spread, layers, said, found)

    @classmethod
    def shipped(cls) -> "ConfidenceModel":
        """The one that comes with the package."""
        with resources.as_file(resources.files("endodav_jax.reconstruction") / "confidence.json") as path:
            return cls.read(path)


def log_error(layers, inputs, numerics):
    """The network: [...,F] -> [...]; `numerics` is numpy or jax.numpy."""
    for weights, bias in layers[:-1]:
        inputs = numerics.tanh(inputs @ weights + bias)
    weights, bias = layers[-1]
    return (inputs @ weights + bias)[..., 0]


def measure(view: DepthView, neighbours: Sequence[tuple[DepthView, np.ndarray]], intrinsics: np.ndarray) -> np.ndarray:
    """Returns `FEATURES` of every pixel, float32 [H,W,F].

    Args:
      view: the frame.
      neighbours: frames with `neighbour_from_view` [4,4] each, in the depth's unit; may be empty.
      intrinsics: [4].
    """
    tissue = view.inside & (view.depth > 0)
    depth = np.where(tissue, view.depth, 0).astype(np.float32)
    rays = pixel_rays(depth.shape, intrinsics)
    normals, smooth = surface_normals(rays * depth[..., None], depth)
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
    alone = np.isnan(apart)
    median = float(np.median(depth[tissue])) if tissue.any() else 1.0
    windows = view.window_difference
    single = np.full(depth.shape, windows is None)
    logs = [
        np.log(np.where(alone, 1.0, apart) + LEAST[0]) * ~alone,
        np.log(np.where(alone, 1.0, unlike) + LEAST[1]) * ~alone,
        -np.log(cosine),
        np.zeros(depth.shape) if windows is None else np.log(windows + LEAST[2]),
        np.log(np.maximum(depth, 1e-3 * median) / median),
        ~smooth,
        alone,
        single,
        *_by_lamp(view.rgb, depth, tissue),
        _off_centre(depth.shape, intrinsics),
    ]
    return np.stack(logs, -1).astype(np.float32)


@jax.jit
def _differences(depth, texture, maps, intrinsics, neighbour_from_view):
    """Relative difference of depth and difference of texture at every pixel; nan where the neighbour does not see it.

    What is nearer in the neighbour than the pixel's own point may hide it, and is a difference all the same: motion
    and depth that are right leave few such pixels.
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


def _by_lamp(rgb: np.ndarray, depth: np.ndarray, tissue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a lamp beside the lens says: how much brighter than its depth allows a pixel is, and its brightness.

    Radiance falls off with the square of the distance; both are logarithms about the frame's median.
    """
    light = np.log((cv2.blur(rgb, (5, 5)).mean(-1) + 2.0) / 255.0) * GAMMA
    fall = light + 2 * np.log(np.where(tissue, depth, 1.0))
    if not tissue.any():
        return np.zeros(depth.shape), np.zeros(depth.shape)
    return tuple(np.clip(values - np.median(values[tissue]), -4, 4) for values in (fall, light))


def _off_centre(shape: tuple[int, int], intrinsics: np.ndarray) -> np.ndarray:
    """Tangent of the angle between a pixel's ray and the axis."""
    rays = pixel_rays(shape, intrinsics)
    return np.linalg.norm(rays[..., :2], axis=-1)


def _medians(maps: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Median over the maps that know a pixel; nan where none does."""
    if not maps:
        return np.full(shape, np.nan, np.float32)
    stack = np.sort(np.stack(maps), axis=0)  # nan last
    count = np.isfinite(stack).sum(0)
    low = np.take_along_axis(stack, np.maximum((count - 1) // 2, 0)[None], 0)[0]
    high = np.take_along_axis(stack, np.maximum(count // 2, 0).clip(0, len(maps) - 1)[None], 0)[0]
    return np.where(count > 0, 0.5 * (low + high), np.nan)


def _rounded(values: np.ndarray) -> list:
    return np.round(np.asarray(values, np.float64), 5).tolist()
