"""What a depth network is made of, as data: presets of the backbone and the configuration of a whole network."""

import dataclasses
from typing import Any, Literal

from endodav_jax.choices import OutputKind, Precision
from endodav_jax.fields import check_choices, check_numbers
from endodav_jax.geometry.depth import PUBLISHED_RANGE, depth_from_disparity, disparity_from_depth
from endodav_jax.geometry.depth import Array as Disparity
from endodav_jax.models.registry import ADAPTERS, FAMILIES, NO_ADAPTER, Family

Head = Literal["single", "multi"]

PATCH_SIZE = 14
MAX_FRAMES = 32  # the motion modules' position table ends here


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Sizes of a ViT encoder and of the DPT head that belongs to it."""

    width: int
    depth: int
    heads: int
    taps: tuple[int, int, int, int]  # blocks whose outputs the head reads
    head_features: int
    head_channels: tuple[int, int, int, int]


BACKBONES: dict[str, Backbone] = {
    # Our own small one, for the embedded default and for tests: 6.6 million parameters.  The motion modules'
    # GroupNorm(32) asks for head_channels[2:] and head_features that are multiples of 32.
    "vitt": Backbone(192, 12, 3, (2, 5, 8, 11), 32, (24, 48, 96, 96)),
    "vits": Backbone(384, 12, 6, (2, 5, 8, 11), 64, (48, 96, 192, 384)),
    "vitb": Backbone(768, 12, 12, (2, 5, 8, 11), 128, (96, 192, 384, 768)),
    "vitl": Backbone(1024, 24, 16, (4, 11, 17, 23), 256, (256, 512, 1024, 1024)),
}


@dataclasses.dataclass(frozen=True)
class DepthModelConfig:
    """One depth network.  Contradictions raise `ValueError` when it is built.

    Attributes:
      family: a name of `registry.FAMILIES`; `vda` and `endodav` see windows of a video, `endodac` each frame alone.
      preset: a name of `BACKBONES`.
      image_shape: (height, width) the network runs at, multiples of 14.
      adapter: what is added to fc1 and fc2 of every ViT block: a name of `registry.ADAPTERS`, or `none`.
      temporal_adapter: the same on `ff.net.2` of the motion modules.
      rank: of `lora` and `dvlora`.
      head: `single` (output_conv1/2 and a pyramid by halving) or `multi` (four sigmoid heads).
      residual_blocks: ViT blocks after which EndoDAC's convolutional residual block stands.
      normalise: whether frames are normalised by ImageNet's mean and deviation.
      precision: of activations; parameters stay float32.
      min_depth, max_depth: depth of a disparity of 1 and of 0, in training and ever after; see `depth`.
      output: what its one map a frame says: `disparity`, relative and near where large, or `metric_depth`, metres.
    """

    family: str = "endodav"
    preset: str = "vitb"
    image_shape: tuple[int, int] = (224, 280)
    adapter: str = "ssb"
    temporal_adapter: bool = True
    rank: int = 4
    head: Head = "single"
    residual_blocks: tuple[int, ...] = ()
    normalise: bool = True
    precision: Precision = "float32"
    min_depth: float = PUBLISHED_RANGE[0]
    max_depth: float = PUBLISHED_RANGE[1]
    output: OutputKind = "disparity"

    def __post_init__(self):
        def choice(field: str, allowed) -> None:
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"model.{field}: {value!r} is not one of {', '.join(allowed)}")

        choice("family", tuple(FAMILIES))
        choice("preset", tuple(BACKBONES))
        choice("adapter", (NO_ADAPTER, *ADAPTERS))
        check_choices(self, "model")
        check_numbers(self, "model", positive=("rank",))
        if len(self.image_shape) != 2 or any(n < PATCH_SIZE or n % PATCH_SIZE for n in self.image_shape):
            raise ValueError(
                f"model.image_shape: {self.image_shape} must be two multiples of {PATCH_SIZE}, height and width"
            )
        if self.temporal_adapter and self.adapter == NO_ADAPTER:
            raise ValueError("model.temporal_adapter: needs an adapter; set model.adapter or switch it off")
        if self.temporal_adapter and not self.family_entry.windows:
            raise ValueError(f"model.temporal_adapter: {self.family_entry.title} has no motion modules; switch it off")
        if self.residual_blocks and not self.family_entry.residual_blocks:
            having = ", ".join(family.title for family in FAMILIES.values() if family.residual_blocks)
            raise ValueError(f"model.residual_blocks: only {having} has them")
        if any(not 0 <= i < self.backbone.depth for i in self.residual_blocks):
            raise ValueError(f"model.residual_blocks: {self.residual_blocks} must lie within the encoder's blocks")
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f"model.min_depth: {self.min_depth} must be positive and below model.max_depth, {self.max_depth}"
            )

    def depth(self, output: Disparity) -> Disparity:
        """Depth of the network's output, of any shape: in the unit of the predicted motion, or metres where metric."""
        return output if self.metric else depth_from_disparity(output, self.min_depth, self.max_depth)

    def output_of(self, depth: Disparity) -> Disparity:
        """The output that has this depth; the inverse of `depth`."""
        return depth if self.metric else disparity_from_depth(depth, self.min_depth, self.max_depth)

    @property
    def metric(self) -> bool:
        """Whether the output is depth in metres."""
        return self.output == "metric_depth"

    @property
    def backbone(self) -> Backbone:
        """Sizes of the encoder and head."""
        return BACKBONES[self.preset]

    @property
    def family_entry(self) -> Family:
        """All that is known of the family."""
        return FAMILIES[self.family]

    @property
    def taps(self) -> tuple[int, ...]:
        """Blocks whose outputs the head reads."""
        return self.family_entry.taps(self.backbone)

    @property
    def patch_grid(self) -> tuple[int, int]:
        """(rows, columns) of patches."""
        return self.image_shape[0] // PATCH_SIZE, self.image_shape[1] // PATCH_SIZE

    @classmethod
    def published(cls, family: str, preset: str, **fields: Any) -> "DepthModelConfig":
        """The published configuration of a family, but for `fields`.

        Raises:
          ValueError: there is no such family, or a contradiction.
        """
        defaults = FAMILIES[family].defaults if family in FAMILIES else {}
        return cls(**{"family": family, "preset": preset, **defaults, **fields})

    @classmethod
    def vda(cls, preset: str, **fields: Any) -> "DepthModelConfig":
        """Video-Depth-Anything as published: no adapter."""
        return cls.published("vda", preset, **fields)

    @classmethod
    def endodav(cls, preset: str, **fields: Any) -> "DepthModelConfig":
        """EndoDAV as published: SSB on the encoder and the motion modules."""
        return cls.published("endodav", preset, **fields)

    @classmethod
    def endodac(cls, preset: str, **fields: Any) -> "DepthModelConfig":
        """EndoDAC as published: DV-LoRA, residual blocks, four heads, no normalisation."""
        return cls.published("endodac", preset, **fields)
