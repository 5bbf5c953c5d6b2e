"""The families of depth networks that come with the package.  A family of another package: `docs/extending.md`."""

from endodav_jax.geometry.pixels import PUBLISHED_SHAPE
from endodav_jax.models.adapters import adapter_tensors
from endodav_jax.models.config import MAX_FRAMES, Backbone, DepthModelConfig
from endodav_jax.models.endodac import EndoDAC
from endodav_jax.models.motion_module import ATTENTIONS, cache_shapes, sinusoidal_table
from endodav_jax.models.registry import FAMILIES, Claim, Family, KeyTraits, register_family
from endodav_jax.models.tensor_names import (
    Rule,
    adapted,
    encoder_rules,
    head_rules,
    motion_module_rules,
    position_table_name,
)
from endodav_jax.models.video_depth import VideoDepth

__all__ = ["FAMILIES", "foundation_licence"]


def foundation_licence(preset: str) -> str:
    """The licence of Video-Depth-Anything's and Depth Anything V2's weights; those of the large encoders differ."""
    return "Apache-2.0" if preset in ("vits", "vitt") else "CC-BY-NC-4.0 (no commercial use)"


def _video_names(config: DepthModelConfig) -> list[Rule]:
    layer = adapted(adapter_tensors(config))
    temporal = layer if config.temporal_adapter else adapted({})
    return encoder_rules(layer) + head_rules("head") + motion_module_rules(temporal)


def _image_names(config: DepthModelConfig) -> list[Rule]:
    return encoder_rules(adapted(adapter_tensors(config))) + head_rules("depth_head")


def _position_tables(config: DepthModelConfig) -> dict:
    return {
        position_table_name(module, attention): sinusoidal_table(MAX_FRAMES, channels)[None]
        for module, (_, channels) in enumerate(cache_shapes(config))
        for attention in range(ATTENTIONS)
    }


def _last_blocks(backbone: Backbone) -> tuple[int, ...]:
    return tuple(range(backbone.depth - 4, backbone.depth))


def _is_depth_anything_v1(file: str) -> bool:
    """Depth Anything V1 and V2 have the same keys and read the encoder at different blocks; the file's name tells."""
    return "v2" not in file and any(f"depth_anything_vit{size}14" in file for size in "sbl")


def _vda_claims(found: KeyTraits) -> Claim:
    if found.adapter != "none":
        return "no"
    if not found.video:  # Depth Anything's image network, whose encoder V2 reads where Video-Depth-Anything does
        if not found.plain:
            return "no"
        return "possible" if _is_depth_anything_v1(found.file) else "likely"
    return "likely" if found.plain and not found.of_checkpoint else "possible"


def _endodav_claims(found: KeyTraits) -> Claim:
    if not found.video:
        return "no"
    return "possible" if found.plain and not found.of_checkpoint else "likely"


def _endodac_claims(found: KeyTraits) -> Claim:
    if found.video:
        return "no"
    return "likely" if not found.plain or _is_depth_anything_v1(found.file) else "possible"


register_family(
    Family(
        name="vda",
        title="Video-Depth-Anything",
        network=VideoDepth,
        windows=True,
        defaults={"adapter": "none", "temporal_adapter": False},
        trained_groups=frozenset(),
        tensor_names=_video_names,
        fixed_tensors=_position_tables,
        claims=_vda_claims,
        licence=lambda preset: f"Video-Depth-Anything {preset} weights: {foundation_licence(preset)}",
    )
)
register_family(
    Family(
        name="endodav",
        title="EndoDAV",
        network=VideoDepth,
        windows=True,
        defaults={},
        trained_groups=frozenset({"spatial_adapters", "temporal_adapters", "output_convolutions", "depth_heads"}),
        tensor_names=_video_names,
        fixed_tensors=_position_tables,
        claims=_endodav_claims,
        licence=lambda preset: (
            f"EndoDAV code: MIT; its weights derive from Video-Depth-Anything {preset}: {foundation_licence(preset)}"
        ),
    )
)
register_family(
    Family(
        name="endodac",
        title="EndoDAC",
        network=EndoDAC,
        windows=False,
        defaults={
            "adapter": "dvlora",
            "temporal_adapter": False,
            "head": "multi",
            "residual_blocks": (2, 5, 8, 11),
            "normalise": False,
        },
        trained_groups=frozenset({"spatial_adapters", "residual_blocks", "depth_heads"}),
        tensor_names=_image_names,
        taps=_last_blocks,
        low_rank_scale=lambda rank: 1.0 / rank,
        residual_blocks=True,
        frame_shape=PUBLISHED_SHAPE,  # whatever the network's own
        claims=_endodac_claims,
        licence=lambda preset: "EndoDAC: published without a licence; ask its authors before any use but private study",
    )
)
