"""A slanted wall before a moving camera: exact depth and poses without rendering, in memory or as a data set."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.sources.base import SequenceInfo, SequenceSource, SourceFrame

SHAPE = (24, 32)
INTRINSICS = np.array([30.0, 28.0, 15.0, 11.5])
_NORMAL, _DISTANCE = np.array([0.2, -0.1, 1.0]), 50.0  # the wall: normal . point = distance


def pose_of(number: int) -> np.ndarray:
    """cam_from_world of a frame: the camera slides and turns about its vertical axis."""
    angle = 0.02 * number
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    pose[:3, 3] = [0.5 * number, -0.2 * number, 1.0 * number]
    return pose


def depth_of(number: int) -> np.ndarray:
    """float32 [H,W] mm, the wall's depth in a frame."""
    fx, fy, cx, cy = INTRINSICS
    v, u = np.indices(SHAPE)
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(SHAPE)], -1)
    rotation, shift = pose_of(number)[:3, :3], pose_of(number)[:3, 3]
    normal = rotation @ _NORMAL
    return ((_DISTANCE + normal @ shift) / (rays @ normal)).astype(np.float32)


def image_of(number: int) -> np.ndarray:
    """uint8 [H,W,3]: a smooth picture that drifts."""
    v, u = np.indices(SHAPE)
    waves = [np.sin(0.3 * u + 0.1 * number), np.cos(0.4 * v - 0.1 * number), np.sin(0.2 * (u + v))]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


@dataclasses.dataclass
class PlaneVideos:
    """Answers as `EvaluationVideos` does.

    Attributes:
      lengths: sequence -> frames.
      poses: whether they are known.
      spoiled: sequence -> what is done to its ground truth depth.
    """

    lengths: dict[str, int]
    poses: bool = True
    spoiled: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.sequences = tuple(self.lengths)
        self.split = SimpleNamespace(folder=Path("/data/scared_video/FULL/1.0.0"), split="test")

    def length(self, sequence: str) -> int:
        return self.lengths[sequence]

    def frames(self, sequence: str, max_len: int | None = None) -> Iterator[EvaluationFrame]:
        for number in range(min(self.lengths[sequence], max_len or self.lengths[sequence])):
            yield EvaluationFrame(
                frame=image_of(number),
                depth_mm=self.spoiled.get(sequence, lambda depth: depth)(depth_of(number)),
                cam_from_world=pose_of(number) if self.poses else None,
                intrinsics=INTRINSICS,
                view_mask=np.ones(SHAPE, bool),
                sequence=sequence,
                frame_index=number,
            )


class PlaneSource(SequenceSource):
    """The same sequences as a source from which a data set is prepared."""

    name = "plane"
    splits = ("validation", "test", "eval")

    def __init__(self, lengths: dict[str, int]):
        self.lengths = lengths

    def sequences(self, split: str) -> list[str]:
        return list(self.lengths)

    def describe(self, sequence: str) -> SequenceInfo:
        return SequenceInfo(sequence, self.lengths[sequence], *SHAPE, True, True, True, layout="memory")

    def _items(self, sequence: str, only) -> Iterator[SourceFrame]:
        for number in range(self.lengths[sequence]):
            if only is None or number in only:
                yield SourceFrame(image_of(number), depth_of(number), pose_of(number), INTRINSICS, number, sequence)
