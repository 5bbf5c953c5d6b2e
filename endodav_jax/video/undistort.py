"""Resamples frames of a wide-angle lens to a pinhole with the same centre, and maps results back to the lens."""

import dataclasses
import functools

import cv2
import numpy as np

from endodav_jax.video.lenses import Lens, Pinhole, lens_from_json

_FAR_OUTSIDE = -10.0  # where pixels that the other camera does not see are sent


@dataclasses.dataclass(frozen=True, eq=False)
class Undistorter:
    """Converts between a lens and a pinhole that share a centre; depth along the axis is the same in both.

    Attributes:
      lens: the lens of the original frames.
      pinhole: float64 [4], the camera of the resampled frames.
      size: (height, width) of both.
    """

    lens: Lens
    pinhole: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, lens: Lens, size: tuple[int, int]) -> "Undistorter":
        """Uses the pinhole that matches the lens near its axis: the middle keeps its resolution and the rim is lost."""
        return cls(lens, np.array(lens.intrinsics, np.float64), size)

    @classmethod
    def from_json(cls, values: dict) -> "Undistorter":
        """Builds one from what `to_json` returned."""
        return cls(lens_from_json(values["lens"]), np.asarray(values["pinhole"], np.float64), tuple(values["size"]))

    def to_json(self) -> dict:
        """Returns a JSON-serialisable description, from which the way back can be computed."""
        return {"lens": self.lens.to_json(), "pinhole": self.pinhole.tolist(), "size": list(self.size)}

    def image(self, image: np.ndarray) -> np.ndarray:
        """Returns a frame [H, W, 3] of the lens, resampled linearly; black where the lens does not see."""
        return cv2.remap(image, *self._from_lens, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """Returns depth along the axis, [H, W], from the nearest pixel, 0 outside; sharing a centre, Z is unchanged."""
        return cv2.remap(depth, *self._from_lens, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)

    def mask(self, mask: np.ndarray | None) -> np.ndarray:
        """Returns bool [H, W], true where all pixels that the colour depends on lie in the frame and in `mask`."""
        whole = np.full(self.size, 255, np.uint8) if mask is None else np.where(mask, 255, 0).astype(np.uint8)
        return cv2.remap(whole, *self._from_lens, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) == 255

    def points(self, uv: np.ndarray) -> np.ndarray:
        """Returns the pinhole pixels [..., 2] of lens pixels [..., 2]; inf where the lens does not look forward."""
        rays = self.lens.rays(uv)
        seen = np.isfinite(rays).all(axis=-1, keepdims=True)
        return np.where(seen, Pinhole(self.pinhole).pixels(np.where(seen, rays, 1.0)), np.inf)

    def back(self, values: np.ndarray, interpolation: int = cv2.INTER_NEAREST) -> np.ndarray:
        """Returns values [H, W, ...] given at the pinhole's pixels at those of the lens, 0 where it does not see.

        Depth and masks take the nearest pixel; pass `cv2.INTER_LINEAR` for colour.
        """
        kind = values.astype(np.uint8) if values.dtype == bool else values
        taken = cv2.remap(kind, *self._from_pinhole, interpolation, borderMode=cv2.BORDER_CONSTANT)
        return taken.astype(values.dtype)

    def lost(self, view: np.ndarray | None) -> float:
        """Returns the share of the view's pixels (None: of all pixels) that the pinhole does not show."""
        seen = self.back(np.ones(self.size, bool))
        return float(1.0 - (seen.mean() if view is None else seen[view].mean()))

    def angles(self) -> tuple[float, float]:
        """Returns the full angle of view across the width of the frame, in degrees, for the lens and the pinhole."""
        row = np.stack([np.arange(self.size[1], dtype=np.float64), np.full(self.size[1], self.pinhole[3])], axis=-1)
        return _across(self.lens.rays(row)), _across(Pinhole(self.pinhole).rays(row))

    def loss_line(self, view: np.ndarray | None) -> str:
        """One line on what resampling costs."""
        lens, pinhole = self.angles()
        return (
            f"undistorted to a pinhole: {pinhole:.0f} of {lens:.0f} degrees across, {100 * self.lost(view):.1f}% of "
            "the view's pixels lie outside"
        )

    @functools.cached_property
    def _from_lens(self) -> tuple[np.ndarray, np.ndarray]:
        return _maps(self.lens.pixels(Pinhole(self.pinhole).ray_grid(self.size)))

    @functools.cached_property
    def _from_pinhole(self) -> tuple[np.ndarray, np.ndarray]:
        rays = self.lens.ray_grid(self.size)
        seen = np.isfinite(rays).all(axis=-1, keepdims=True)
        pixels = Pinhole(self.pinhole).pixels(np.where(seen, rays, 1.0))
        return _maps(np.where(seen, pixels, np.nan))


def _maps(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = np.clip(np.nan_to_num(pixels, nan=_FAR_OUTSIDE), -1e4, 1e5).astype(np.float32)
    return np.ascontiguousarray(found[..., 0]), np.ascontiguousarray(found[..., 1])


def _across(rays: np.ndarray) -> float:
    slopes = rays[np.isfinite(rays).all(axis=-1), 0]
    if not len(slopes):
        return 0.0
    return float(np.degrees(np.arctan(slopes.max()) - np.arctan(slopes.min())))
