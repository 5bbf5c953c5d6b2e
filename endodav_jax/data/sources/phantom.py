"""The phantom (`phantom`) as a source: a family and a seed are a data set, and nothing is read from disk."""

import dataclasses
from collections.abc import Container, Iterator
from typing import Any, Literal

from endodav_jax.data.phantom.config import FAMILY_NAMES, SEEDS, PhantomConfig
from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.errors import UserError

# Each split has seeds of its own, so that no scene of one is in another.
_SEED_STEP = {"train": 0, "validation": 1, "test": 2}


class PhantomSource(SequenceSource):
    """One family; `validation` and `test` have `held_out` sequences each."""

    name = "phantom"
    splits = tuple(_SEED_STEP)

    def __init__(
        self,
        family: str,
        *,
        seed: int = 0,
        sequences: int = 64,
        frames: int = 64,
        height: int = 128,
        width: int = 160,
        light: Literal["endoscope", "flat"] = "endoscope",
        held_out: int = 0,
        tools: int = 0,
        smoke: float = 0.0,
        fluid: float = 0.0,
        motion_blur: float = 0.0,
        noise: float = PhantomConfig.noise,
        codec: Literal["", "h264", "mjpeg"] = "",
        codec_quality: int = 75,
        every: int = 1,
        held_out_frames: int = 0,
    ):
        """Options for rendered scenes.

        Args:
          family: a name of `data.phantom.families`; `organ` is the one to adapt to.
          seed: random seed; another seed is another data set.
          sequences: how many to train on.
          frames: of each sequence.
          height: in pixels, a multiple of 8.
          width: in pixels, a multiple of 8.
          light: `endoscope`, or `flat` for an ideal Lambertian world under a lamp that stays.
          held_out: how many to validate and how many to test on; 0 for an eighth of `sequences`, at least one.
          tools: metal instruments in a sequence, at most.
          smoke: share of sequences with smoke.
          fluid: share of sequences with fluid on the lens.
          motion_blur: how long the shutter is open, as a share of the frame interval.
          noise: standard deviation of the sensor's noise at mid grey, in grey levels of 255.
          codec: `h264` or `mjpeg` to compress sequences; empty for none.
          codec_quality: 1 is the worst, 100 the best.
          every: training sequences record every n-th frame of the camera's motion, as if at a lower frame rate, which
            covers more of it in as many frames.
          held_out_frames: of each sequence to validate or test on, which record every frame; 0 for as many as `frames`.

        Raises:
          UserError: there is no such family, or a value is out of range.
        """
        if family not in FAMILY_NAMES:
            raise UserError(f"phantom: no family {family!r}; choose one of {', '.join(FAMILY_NAMES)}")
        if not 0 <= seed < SEEDS:
            raise UserError(f"phantom: seed {seed} must lie in 0..{SEEDS - 1}")
        for option, pixels in (("height", height), ("width", width)):
            if pixels % 8:
                raise UserError(
                    f"phantom: --{option} {pixels} must be a multiple of 8, such as {8 * round(pixels / 8)}"
                )
        for option, count, usual in (
            ("held-out", held_out, "an eighth of --sequences"),
            ("held-out-frames", held_out_frames, "as many as --frames"),
        ):
            if count < 0:
                raise UserError(f"phantom: --{option} {count} must not be negative; 0 is {usual}")
        fields: dict[str, Any] = {"height": height, "width": width, "light": light}
        fields |= {"tools": tools, "smoke": smoke, "fluid": fluid, "motion_blur": motion_blur}
        fields |= {"codec": codec, "codec_quality": codec_quality, "noise": noise}
        training, other = {"frames": frames, "every": every}, {"frames": held_out_frames or frames}
        try:
            self._configs = {
                split: PhantomConfig.of(
                    family,
                    seed=seed + step * SEEDS,
                    sequences=sequences if split == "train" else held_out or max(1, sequences // 8),
                    **(training if split == "train" else other),
                    **fields,
                )
                for split, step in _SEED_STEP.items()
            }
        except ValueError as error:
            raise UserError(f"phantom: {error}") from error
        self._places = {
            config.sequence_name(number): (config, number)
            for config in self._configs.values()
            for number in range(config.sequences)
        }

    def sequences(self, split: str) -> list[str]:
        if split not in self._configs:
            raise self._unknown_split(split)
        config = self._configs[split]
        return [config.sequence_name(number) for number in range(config.sequences)]

    def describe(self, sequence: str) -> SequenceInfo:
        config, _ = self._place(sequence)
        return SequenceInfo(
            name=sequence,
            frames=config.frames,
            height=config.height,
            width=config.width,
            has_depth=True,
            has_pose=True,
            has_intrinsics=True,
            expected_frames=config.frames,
            layout="rendered",
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        config, number = self._place(sequence)
        fields = {field.name for field in dataclasses.fields(SourceFrame)}
        from endodav_jax.data.phantom.sequence import render_sequence

        for values in render_sequence(config, number):
            if only is None or values["frame_index"] in only:
                yield SourceFrame(**{key: value for key, value in values.items() if key in fields})

    def _place(self, sequence: str) -> tuple[PhantomConfig, int]:
        if sequence not in self._places:
            raise UserError(
                f"{sequence}: no sequence of this phantom, which has {', '.join(list(self._places)[:3])}, ..."
            )
        return self._places[sequence]
