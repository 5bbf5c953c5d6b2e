"""A source in memory whose every value is known, and the data sets made of it."""

import dataclasses
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.builders.data_sets import builder_class
from endodav_jax.data.builders.staging import StoredAs
from endodav_jax.data.builders.video import VideoConfig
from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.errors import UserError

FULL_SIZE = StoredAs(None, "fast")


@dataclasses.dataclass
class TinySource(SequenceSource):
    """Sequences of random frames; frame i of sequence s depends on (s, i) alone.

    Attributes:
      lengths: sequence -> frames.
      bad: sequence -> frames that cannot be read.
      first: number of the first frame.
      camera: whether its intrinsics are those of a camera, and no guess.
    """

    lengths: dict[str, int]
    bad: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    shape: tuple[int, int] = (12, 16)
    first: int = 0
    depth: bool = True
    camera: bool = True
    name = "tiny"
    splits = ("train", "test")

    def sequences(self, split: str) -> list[str]:
        if split not in self.splits:
            raise self._unknown_split(split)
        return list(self.lengths)

    def describe(self, sequence: str) -> SequenceInfo:
        if sequence not in self.lengths:
            raise UserError(f"{sequence}: not in this copy")
        has = self.depth
        return SequenceInfo(sequence, self.lengths[sequence], *self.shape, has, has, self.camera, layout="memory")

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        for index in range(self.first, self.first + self.lengths[sequence]):
            if only is not None and index not in only:
                continue
            if index in self.bad.get(sequence, ()):
                yield BadFrame(index, "truncated PNG")
            else:
                yield self.frame(sequence, index)

    def frame(self, sequence: str, index: int) -> SourceFrame:
        rng = np.random.default_rng([index, *sequence.encode()])
        height, width = self.shape
        depth = rng.uniform(5, 100, self.shape).astype(np.float32)
        depth[rng.random(self.shape) < 0.2] = 0
        pose = np.eye(4)
        pose[:3, 3] = rng.normal(size=3)
        mask = np.ones(self.shape, bool)
        mask[0, 0] = False
        return SourceFrame(
            frame=rng.integers(0, 256, (height, width, 3), np.uint8),
            depth_mm=depth if self.depth else None,
            cam_from_world=pose if self.depth else None,
            intrinsics=np.array([20.1, 21.2, 7.3, 6.4]),
            frame_index=index,
            sequence=sequence,
            view_mask=mask,
        )


def prepare_tiny(
    out: Path,
    source: SequenceSource,
    *,
    splits: tuple[str, ...] = ("train",),
    stored: StoredAs = FULL_SIZE,
    on_bad_frame: str = "error",
    workers: int = 1,
    progress=lambda frames: None,
    name: str = "tiny",
) -> Path:
    """Builds a data set of a source and returns its folder."""
    config = VideoConfig(
        name=name,
        splits={split: source.sequences(split) for split in splits},
        stored=stored,
        on_bad_frame=on_bad_frame,
    )
    builder = builder_class("frames")(source=source, config=config, data_dir=out, workers=workers, progress=progress)
    builder.download_and_prepare()
    return Path(builder.data_dir)
