"""Measurements of a clip's scale from the other stereo view: rectification and semi-global matching with OpenCV."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from endodav_jax.data.sources.scared import NATIVE_SIZE
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import intrinsics_of, resized_pixels
from endodav_jax.scale.sources import depth_at
from endodav_jax.video.intrinsics import check_principal_point

FRAMES = 24  # number of matched frames per clip
LARGEST = 640  # length of the longer side for matching, in pixels
BLOCK = 5  # side of the matching window in pixels
DISPARITIES = 0.3  # maximum disparity, relative to the width
LEAST_DISPARITY = 2.0  # pixels; below it, a sixteenth of a pixel is more than a few percent
STEP = 3  # every third pixel is a measurement
# Two eyes match in 7% of these (a dark, noisy tube full of smoke) to 71%, and 2.6 times as many as with one view upside
# down or more (13 times, usually).  Halves of pictures with one view match in up to 17%, but then 1.8 times as many at
# most.  Measured on rendered scenes of three families.
LEAST_SHARE = 0.05
LEAST_OVER_CHANCE = 2.2


@dataclasses.dataclass(frozen=True)
class StereoRig:
    """Two cameras: x_right = rotation x_left + translation.

    Attributes:
      left, right: float64 [3,3] camera matrices in pixels of one view.
      left_distortion, right_distortion: float64 [n] as in OpenCV.
      rotation: float64 [3,3].
      translation_mm: float64 [3].
      size: (height, width) for which they are valid.
    """

    left: np.ndarray
    left_distortion: np.ndarray
    right: np.ndarray
    right_distortion: np.ndarray
    rotation: np.ndarray
    translation_mm: np.ndarray
    size: tuple[int, int]

    @classmethod
    def rectified(cls, intrinsics: np.ndarray, baseline_mm: float, size: tuple[int, int]) -> "StereoRig":
        """Two equal cameras side by side; with a negative baseline, the left view is from the right camera."""
        fx, fy, cx, cy = intrinsics
        camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        shift = np.array([-baseline_mm, 0, 0], np.float64)
        return cls(camera, np.zeros(5), camera, np.zeros(5), np.eye(3), shift, size)

    def swapped(self) -> "StereoRig":
        """The same with depth measured in the right view."""
        return StereoRig(
            self.right, self.right_distortion, self.left, self.left_distortion, self.rotation.T,
            -self.rotation.T @ self.translation_mm, self.size,
        )  # fmt: skip


def read_calibration(path: Path, size: tuple[int, int]) -> StereoRig:
    """Reads SCARED's `endoscope_calibration.yaml`: M1, D1, M2, D2, R and T of OpenCV, mm, for `size` of one view.

    SCARED's is for 1280x1024; images of another size are assumed to be resized from that.

    Raises:
      UserError: no such file, or a matrix is missing or has another shape.
    """
    if not path.is_file():
        raise UserError(f"--calibration {path}: no such file")
    text = read_text(path, "give a YAML file as OpenCV writes it", f"--calibration {path}")
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        values = {name: storage.getNode(name).mat() for name in ("M1", "D1", "M2", "D2", "R", "T")}
        storage.release()
    except cv2.error as error:
        raise UserError(f"--calibration {path}: not a YAML file that OpenCV can read") from error
    shapes = {"M1": (3, 3), "M2": (3, 3), "R": (3, 3)}
    missing = [name for name, value in values.items() if value is None or not np.isfinite(value).all()]
    missing += [name for name, shape in shapes.items() if name not in missing and values[name].shape != shape]
    missing += ["T"] if "T" not in missing and values["T"].size != 3 else []
    if missing:
        raise UserError(f"--calibration {path}: has no valid {', '.join(missing)}; expected M1, D1, M2, D2, R and T")
    native = _native_size(values["M1"], size)
    resize = np.diag([size[1] / native[1], size[0] / native[0], 1.0])
    # Nearest neighbour preserves edges; pixel centres are at integers.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    left, right = (np.linalg.inv(half) @ resize @ half @ values[name] for name in ("M1", "M2"))
    for camera in (left, right):
        check_principal_point(intrinsics_of(camera), size, f"--calibration {path}")
    first, second = (values[name].ravel() for name in ("D1", "D2"))
    return StereoRig(left, first, right, second, values["R"], values["T"].ravel(), size)


class StereoMatcher:
    """Depth in mm of the left eye's pixels.

    Attributes:
      measurements: at most so many in a frame.
    """

    def __init__(self, rig: StereoRig):
        """Takes two cameras.

        Raises:
          UserError: they are above each other, or at the same position.
        """
        self.rig = rig
        height, width = rig.size
        self._factor = min(1.0, LARGEST / max(rig.size))
        size = (max(16, round(width * self._factor)), max(16, round(height * self._factor)))
        turn_left, turn_right, left, right, *_ = cv2.stereoRectify(
            rig.left, rig.left_distortion, rig.right, rig.right_distortion, (width, height), rig.rotation,
            rig.translation_mm.reshape(3, 1), flags=cv2.CALIB_ZERO_DISPARITY, alpha=0, newImageSize=size,
        )  # fmt: skip
        if abs(right[1, 3]) > abs(right[0, 3]) or right[0, 3] == 0:
            raise UserError("--scale stereo: the two cameras are not side by side; check baseline and calibration")
        self._turn, self._camera = turn_left, left
        self.measurements = len(range(0, size[0], STEP)) * len(range(0, size[1], STEP))
        self._reach = -float(right[0, 3])  # focal length times baseline, px mm
        self._maps = [
            cv2.initUndistortRectifyMap(camera, distortion, turn, new, size, cv2.CV_32FC1)
            for camera, distortion, turn, new in (
                (rig.left, rig.left_distortion, turn_left, left),
                (rig.right, rig.right_distortion, turn_right, right),
            )
        ]
        most = max(16, int(DISPARITIES * size[0]) // 16 * 16)
        first = 0 if self._reach > 0 else -most
        self._matcher = cv2.StereoSGBM.create(
            minDisparity=first, numDisparities=most, blockSize=BLOCK, P1=8 * BLOCK**2, P2=32 * BLOCK**2,
            disp12MaxDiff=1, uniquenessRatio=10, speckleWindowSize=80, speckleRange=2,
            mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
        )  # fmt: skip

    def measured(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns points of known depth, float64 [P,3]: u, v in pixels of the left eye's image, z in mm.

        Args:
          left, right: uint8 [H,W,3] of the rig's size.
        """
        grey = [
            cv2.remap(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), *maps, cv2.INTER_LINEAR)
            for rgb, maps in zip((left, right), self._maps, strict=True)
        ]
        disparity = self._matcher.compute(*grey).astype(np.float64) / 16
        low = self._matcher.getMinDisparity()
        good = (
            (disparity > low - 0.5)
            & (np.abs(disparity) > LEAST_DISPARITY)
            & (np.sign(disparity) == np.sign(self._reach))
        )
        # A window across a depth edge mixes foreground and background.
        filled = np.where(good, disparity, 0).astype(np.float32)
        box = np.ones((BLOCK + 2, BLOCK + 2), np.uint8)
        good &= cv2.dilate(filled, box) - cv2.erode(filled, box) < 2.0
        v, u = np.nonzero(good[::STEP, ::STEP])
        v, u = STEP * v, STEP * u
        z = self._reach / disparity[v, u]
        fx, fy, cx, cy = intrinsics_of(self._camera)
        points = np.column_stack([(u - cx) / fx * z, (v - cy) / fy * z, z]) @ self._turn  # into the left eye
        if not len(points):
            return np.zeros((0, 3))
        pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), self.rig.left, self.rig.left_distortion)
        return np.column_stack([pixels[:, 0], points[:, 2]])


def ratios_of_stereo(
    frames: Iterable[tuple[int, np.ndarray, np.ndarray, np.ndarray]], rig: StereoRig
) -> dict[int, np.ndarray]:
    """Returns frame -> mm over depth.

    Args:
      frames: (number, left eye, right eye, depth of the left eye); the depth may have another size.
      rig: of the eyes.

    Raises:
      UserError: hardly more of the pixels can be matched than by chance: these are no two eyes.
    """
    matcher = StereoMatcher(rig)
    found: dict[int, np.ndarray] = {}
    matched, by_chance, looked_at = 0, 0, 0.0
    for index, left, right, depth in frames:
        points = matcher.measured(left, right)
        y, x = (n / m for n, m in zip(depth.shape, rig.size, strict=True))
        known = depth_at(depth, resized_pixels(points[:, 0], x), resized_pixels(points[:, 1], y))
        ratios = points[:, 2] / known
        found[index] = ratios[np.isfinite(ratios)]
        matched += len(points)
        by_chance += len(matcher.measured(left, np.ascontiguousarray(right[::-1])))
        looked_at += matcher.measurements * float((depth > 0).mean())
    share, chance = (count / max(1.0, looked_at) for count in (matched, by_chance))
    if share < max(LEAST_SHARE, LEAST_OVER_CHANCE * chance):
        raise UserError(
            f"--scale stereo: only {100 * share:.0f}% of the pixels of one view are found in the other, "
            f"{100 * chance:.0f}% by chance; check that the recording is stereo, --stereo, --baseline (negative if the "
            "left view is from the right camera) and the camera"
        )
    return found


def _native_size(camera: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    """The size for which a calibration is valid: SCARED's or that of the frames, whichever centres it better."""
    return min((NATIVE_SIZE, size), key=lambda n: abs(2 * camera[0, 2] / n[1] - 1) + abs(2 * camera[1, 2] / n[0] - 1))
