"""The contract for every key of a record, a training batch and an evaluation frame, and the check of it.

A **record** is one frame as stored in a prepared data set (see `builders/`), after decoding.  A **batch** is what the
pipeline passes to a training step: a dictionary of NumPy arrays that need no conversion before the device.
An **evaluation frame** is one frame of a whole sequence at its stored size.

Axes: B clips, F = T + 2 frames (a clip's T frames with the one before and the one after), H, W.  Pixels and
intrinsics: integer coordinates at pixel centres, origin at the centre of the top left pixel.  Poses: `cam_from_world`
maps world points in mm into the camera, x right, y down, z forward.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

NO_JITTER = (1.0, 1.0, 1.0, 0.0)  # factors of brightness, contrast and saturation, and the shift of hue in turns


@dataclasses.dataclass(frozen=True)
class Field:
    """One key: its type, axes, unit and range.

    Attributes:
      dtype: NumPy's name; `str` for text.
      axes: a letter for a size that must agree with the other keys, a number for a fixed one.
      unit: of the values.
      low, high: the closed range of the finite values; None if unbounded.
      optional: whether the key may be absent (batch) or None (evaluation frame).
      may_be_nan: whether NaN means "not known".
    """

    dtype: str
    axes: tuple[str | int, ...]
    unit: str
    meaning: str
    low: float | None = None
    high: float | None = None
    optional: bool = False
    may_be_nan: bool = False


RECORD: dict[str, Field] = {
    "frame": Field("uint8", ("H", "W", 3), "-", "RGB at the stored size", 0, 255),
    "depth_mm": Field("float32", ("H", "W"), "mm", "Z along the optical axis; 0 is invalid, or all unknown", 0),
    "cam_from_world": Field("float64", (4, 4), "mm", "pose; NaN is unknown", may_be_nan=True),
    "intrinsics": Field("float64", (4,), "pixels", "fx, fy, cx, cy at the stored size"),
    "view_mask": Field("bool", ("H", "W"), "-", "true where the scene is seen"),
    "sequence": Field("str", (), "-", "name of the sequence"),
    "frame_index": Field("int64", (), "-", "number of the frame as the data set counts its raw frames", 0),
    "frame_mask": Field(
        "bool", ("H", "W"), "-", "false where something in front of the scene is left out of every error", optional=True
    ),
}

BATCH: dict[str, Field] = {
    "frames": Field("uint8", ("B", "F", "H", "W", 3), "-", "plain frames; frame i of the clip is number i + 1", 0, 255),
    "jitter": Field(
        "float32", ("B", 4), "-", "brightness, contrast, saturation factors, hue shift in turns; 1, 1, 1, 0 is none", -1
    ),
    "jitter_order": Field("int32", ("B", 4), "-", "which of the four comes first, second, ...: a permutation", 0, 3),
    "intrinsics": Field("float32", ("B", 4), "pixels", "fx, fy, cx, cy of the (mirrored) frames"),
    "view_mask": Field("bool", ("B", "H", "W"), "-", "true where every frame of the clip sees the scene"),
    "frame_index": Field("int32", ("B", "F"), "-", "numbers of the frames in their sequences", 0),
    "sequence": Field("int32", ("B",), "-", "which sequence of the split the clip's first frame is from", 0),
    "depth_mm": Field("float32", ("B", "F", "H", "W"), "mm", "as in a record", 0, optional=True),
    "cam_from_world": Field(
        "float32", ("B", "F", 4, 4), "mm", "as in a record; of the mirrored world if mirrored", None, None, True, True
    ),
    "frame_mask": Field("bool", ("B", "F", "H", "W"), "-", "as in a record, of each frame", optional=True),
    "path_pose": Field(
        "float32", ("B", "F", 4, 4), "-", "camera from the clip's first camera, in the path's unit", optional=True
    ),
    "path_log_depth": Field("float32", ("B", "F"), "-", "mean log depth of the view in the path's unit", optional=True),
    "path_points": Field(
        "float32", ("B", "F", "P", 4), "-", "x, y, log depth in the path's unit, 1 / its deviation or 0", optional=True
    ),
    "neighbour_flow": Field(
        "float32", ("B", 2, "T", "h", "w", 3), "pixels", "see `registration.neighbour_flow`", optional=True
    ),
}

EVALUATION_FRAME: dict[str, Field] = {
    "frame": RECORD["frame"],
    "depth_mm": Field("float32", ("H", "W"), "mm", "Z along the optical axis; 0 is invalid", 0, optional=True),
    "cam_from_world": Field("float64", (4, 4), "mm", "pose", optional=True),
    "intrinsics": RECORD["intrinsics"],
    "view_mask": RECORD["view_mask"],
    "sequence": RECORD["sequence"],
    "frame_index": RECORD["frame_index"],
    "frame_mask": RECORD["frame_mask"],
}


@dataclasses.dataclass(frozen=True)
class EvaluationFrame:
    """One frame of a whole sequence; see `EVALUATION_FRAME` for types, units and ranges."""

    frame: np.ndarray
    depth_mm: np.ndarray | None
    cam_from_world: np.ndarray | None
    intrinsics: np.ndarray
    view_mask: np.ndarray
    sequence: str
    frame_index: int
    frame_mask: np.ndarray | None = None

    @property
    def truth_mm(self) -> np.ndarray:
        """`depth_mm` of a sequence that has it."""
        assert self.depth_mm is not None
        return self.depth_mm

    @property
    def counted(self) -> np.ndarray:
        """bool [H, W]: pixels that see the scene and are not left out."""
        return self.view_mask if self.frame_mask is None else self.view_mask & self.frame_mask


def check(values: Mapping[str, object], fields: Mapping[str, Field], *, ranges: bool = False) -> None:
    """Checks keys, types and shapes; with `ranges` also every value, which reads every pixel.

    Raises:
      ValueError: the first key that breaks the contract, and how.
    """
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{unknown[0]}: not a key of the contract")
    sizes: dict[str, int] = {}
    for key, field in fields.items():
        value = values.get(key)
        if value is None:
            if not field.optional:
                raise ValueError(f"{key}: missing")
            continue
        if field.dtype == "str":
            if not isinstance(value, str):
                raise ValueError(f"{key}: {type(value).__name__}, wanted text")
            continue
        array = np.asarray(value)
        if array.dtype != field.dtype:
            raise ValueError(f"{key}: {array.dtype}, wanted {field.dtype}")
        if array.ndim != len(field.axes) or any(
            size != (axis if isinstance(axis, int) else sizes.setdefault(axis, size))
            for size, axis in zip(array.shape, field.axes, strict=True)
        ):
            known = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
            raise ValueError(f"{key}: shape {array.shape}, wanted {field.axes} with {known}")
        if ranges:
            _check_range(key, array, field)


def _check_range(key: str, array: np.ndarray, field: Field) -> None:
    if (
        array.dtype.kind == "f"
        and not np.isfinite(array).all()
        and not (field.may_be_nan and not np.isinf(array).any())
    ):
        raise ValueError(f"{key}: not finite")
    if array.dtype.kind == "b" or np.isnan(array).all():
        return
    low, high = np.nanmin(array), np.nanmax(array)
    if (field.low is not None and low < field.low) or (field.high is not None and high > field.high):
        raise ValueError(f"{key}: values {low} to {high} leave the range {field.low} to {field.high}")


def check_batch(batch: Mapping[str, np.ndarray], *, ranges: bool = False) -> None:
    """`check` of a training batch, and that each jitter order is a permutation."""
    check(batch, BATCH, ranges=ranges)
    if (np.sort(batch["jitter_order"], axis=-1) != np.arange(4)).any():
        raise ValueError("jitter_order: not a permutation of 0, 1, 2, 3")


def check_evaluation_frame(frame: EvaluationFrame, *, ranges: bool = False) -> None:
    """`check` of an evaluation frame."""
    values = {field.name: getattr(frame, field.name) for field in dataclasses.fields(frame)}
    values["frame_index"] = np.int64(frame.frame_index)
    check(values, EVALUATION_FRAME, ranges=ranges)
