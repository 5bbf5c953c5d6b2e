"""The features of a record as TFDS stores them.

A data set names the module of `DepthMap` in its features.json: keep this module importable under this name, or data
sets prepared earlier can no longer be read.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow_datasets as tfds

from endodav_jax.data.builders import encoding
from endodav_jax.data.contract import EvaluationFrame

ENCODED = ("frame", "depth_mm", "view_mask", "frame_mask")  # features that are image files


class DepthMap(tfds.features.FeatureConnector):
    """A depth map float32 [H, W] in mm, stored as a TIFF file that keeps every bit; no bytes at all if unknown.

    Takes encoded bytes, as images do: encoding an array would need TensorFlow in the image feature of TFDS, and
    `uint16` would lose bits of SCARED's depth.
    """

    def get_tensor_info(self) -> tfds.features.TensorInfo:
        return tfds.features.TensorInfo(shape=(None, None), dtype=np.float32)

    def get_serialized_info(self) -> tfds.features.TensorInfo:
        return tfds.features.TensorInfo(shape=(), dtype=np.object_)

    def encode_example(self, example_data: bytes) -> bytes:
        return example_data

    def decode_example(self, tfexample_data):
        raise NotImplementedError("reading with TensorFlow; use as_data_source instead of as_dataset")

    def decode_example_np(self, example_data: bytes) -> np.ndarray:
        """Returns the map, or an empty one where depth is unknown."""
        return encoding.decode_depth(example_data) if example_data else np.zeros((0, 0), np.float32)

    def to_json_content(self) -> dict:
        return {}

    @classmethod
    def from_json_content(cls, value: dict) -> "DepthMap":
        return cls()


def record_features(frame_masks: bool = False) -> tfds.features.FeaturesDict:
    """Returns the features of a prepared data set; decoded, they are `contract.RECORD`.

    Args:
      frame_masks: whether records have a `frame_mask`.
    """
    masks = {"frame_mask": tfds.features.Image(shape=(None, None, 1), doc="0 where the frame is left out")}
    return tfds.features.FeaturesDict(
        {
            "frame": tfds.features.Image(shape=(None, None, 3), doc="RGB"),
            "depth_mm": DepthMap(doc="Z in mm, 0 invalid"),
            # As bytes: TFDS would round float64 to float32 otherwise.
            "cam_from_world": tfds.features.Tensor(
                shape=(4, 4), dtype=np.float64, encoding="bytes", doc="world points in mm into the camera; NaN unknown"
            ),
            "intrinsics": tfds.features.Tensor(
                shape=(4,), dtype=np.float64, encoding="bytes", doc="fx, fy, cx, cy in pixels"
            ),
            "view_mask": tfds.features.Image(shape=(None, None, 1), doc="non-zero where the scene is seen"),
            "sequence": tfds.features.Text(doc="name of the sequence"),
            "frame_index": tfds.features.Scalar(dtype=np.int64, doc="number of the frame in its sequence"),
        }
        | (masks if frame_masks else {})
    )


def encode_record(frame: EvaluationFrame, storage: encoding.Storage, frame_masks: bool = False) -> dict:
    """Returns what `record_features(frame_masks).encode_example` takes; a frame without a mask counts whole."""
    unknown_pose = np.full((4, 4), np.nan)
    whole = np.ones(frame.frame.shape[:2], bool)
    mask = {"frame_mask": encoding.encode_mask(whole if frame.frame_mask is None else frame.frame_mask)}
    return (mask if frame_masks else {}) | {
        "frame": encoding.encode_frame(frame.frame, storage),
        "depth_mm": b"" if frame.depth_mm is None else encoding.encode_depth(frame.depth_mm, storage),
        "cam_from_world": unknown_pose if frame.cam_from_world is None else frame.cam_from_world,
        "intrinsics": frame.intrinsics,
        "view_mask": encoding.encode_mask(frame.view_mask),
        "sequence": frame.sequence,
        "frame_index": frame.frame_index,
    }


def decode_record(record: dict) -> EvaluationFrame:
    """Returns the frame of a record whose images are still encoded (`skip_image_decoding`)."""
    pose = record["cam_from_world"]
    return EvaluationFrame(
        frame=encoding.decode_frame(record["frame"]),
        depth_mm=encoding.decode_depth(record["depth_mm"]) if record["depth_mm"] else None,
        cam_from_world=None if np.isnan(pose).any() else pose,
        intrinsics=record["intrinsics"],
        view_mask=encoding.decode_mask(record["view_mask"]),
        sequence=record["sequence"].decode(),
        frame_index=int(record["frame_index"]),
        frame_mask=encoding.decode_mask(record["frame_mask"]) if "frame_mask" in record else None,
    )


def skip_image_decoding(features: Iterable[str], keys: Iterable[str] = ENCODED) -> dict:
    """Returns TFDS decoders that leave image files encoded, so that only what is used gets decoded.

    Args:
      features: names of the data set's features; one prepared without masks of its frames has none.
      keys: which of them.
    """
    return {key: tfds.decode.SkipDecoding() for key in keys if key in features}
