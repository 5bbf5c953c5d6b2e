"""Networks are recognised from the keys and shapes of a state dict alone."""

import numpy as np
import pytest

from endodav_jax.conversion.recognise import is_resnet, recognise_depth, recognise_resnet
from endodav_jax.errors import UserError
from endodav_jax.models import DepthModelConfig

EXPECTED = {
    "vda_vits": ("vda", DepthModelConfig.vda("vits")),
    "vda_vitb": ("vda", DepthModelConfig.vda("vitb")),
    "endodav_vitb_ssb": ("endodav", DepthModelConfig.endodav("vitb")),
    "endodav_vits_ssb": ("endodav", DepthModelConfig.endodav("vits")),
    "endodav_vits_lora": ("endodav", DepthModelConfig.endodav("vits", adapter="lora", rank=4)),
    "endodav_vits_dvlora": ("endodav", DepthModelConfig.endodav("vits", adapter="dvlora", rank=4)),
    "endodav_vits_ssb_multihead": ("endodav", DepthModelConfig.endodav("vits", head="multi")),
    "endodac_vits": ("endodac", DepthModelConfig.endodac("vits")),
    "endodac_vitb": ("endodac", DepthModelConfig.endodac("vitb")),
}


def shaped(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Arrays of those shapes that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


@pytest.fixture
def vda(golden) -> dict[str, np.ndarray]:
    return shaped(golden.json("manifest_vda_vits"))


@pytest.mark.parametrize("name", EXPECTED)
def test_published_networks_are_recognised(golden, name):
    found = recognise_depth(shaped(golden.json(f"manifest_{name}")), "depth_model.pth")
    assert (found.program, found.config) == EXPECTED[name]
    assert found.notes == ()


def test_the_large_encoder_is_recognised():
    shapes = {"pretrained.pos_embed": [1, 1370, 1024], "head.projects.0.weight": [256, 1024, 1, 1]}
    shapes |= {f"pretrained.blocks.{i}.norm1.weight": [1024] for i in range(24)}
    assert recognise_depth(shaped(shapes), "w.pth").config == DepthModelConfig.vda("vitl")


@pytest.mark.parametrize("rank", [1, 2, 16])
def test_the_rank_of_an_adapter_and_its_absence_in_time(golden, rank):
    shapes = golden.json("manifest_endodav_vits_lora")
    shapes = {name: shape for name, shape in shapes.items() if "motion_modules" not in name or "lora" not in name}
    for name in shapes:
        if name.endswith("lora_A"):
            shapes[name] = [rank, shapes[name][1]]
        elif name.endswith("lora_B"):
            shapes[name] = [shapes[name][0], rank]
    config = recognise_depth(shaped(shapes), "w.pth").config
    assert config == DepthModelConfig.endodav("vits", adapter="lora", rank=rank, temporal_adapter=False)


def test_residual_blocks_are_those_that_are_there(golden):
    shapes = {k: v for k, v in golden.json("manifest_endodac_vits").items() if "blocks.5.residual_" not in k}
    assert recognise_depth(shaped(shapes), "w.pth").config.residual_blocks == (2, 8, 11)


def test_video_weights_without_adapters_are_endodavs_in_a_training_folder_and_where_the_user_says_so(vda):
    plain = DepthModelConfig.endodav("vits", adapter="none", temporal_adapter=False)
    assert recognise_depth(vda, "depth_model.pth", of_checkpoint=True).config == plain
    assert recognise_depth(vda, "w.pth", family="endodav").config == plain
    with pytest.raises(UserError, match="--family endodac does not fit"):
        recognise_depth(vda, "w.pth", family="endodac")


@pytest.fixture
def depth_anything(vda) -> dict[str, np.ndarray]:
    images = {name: value for name, value in vda.items() if "motion_modules" not in name}
    return {name.replace("head.", "depth_head."): value for name, value in images.items()}


def test_depth_anythings_versions_differ_in_the_name_of_the_file_alone(depth_anything):
    second = recognise_depth(depth_anything, "depth_anything_v2_vits.pth")
    assert second.config == DepthModelConfig.vda("vits")
    first = recognise_depth(depth_anything, "depth_anything_vits14.pth")
    images = DepthModelConfig.endodac("vits", adapter="none", head="single", residual_blocks=(), normalise=True)
    assert first.config == images
    unnamed = recognise_depth(depth_anything, "w.pth")
    assert unnamed.config == DepthModelConfig.vda("vits")
    assert "--family endodac" in unnamed.notes[0]
    for other in ("endo_conv2.pth", "run_v21.pth"):
        assert "does not tell them apart" in recognise_depth(depth_anything, other).notes[0]
    assert recognise_depth(depth_anything, "DepthAnythingV2-s.pth").notes == ()
    chosen = recognise_depth(depth_anything, "w.pth", family="endodac")
    assert chosen.config == images
    assert chosen.notes == ()


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        ({"convs.squeeze.weight": [1]}, "pose of a training folder"),
        ({"focal_length_conv.weight": [1]}, "intrinsics_head of a training folder"),
        ({"convs.position_conv_0.weight": [1]}, "position of a training folder"),
        ({"convs.transform_conv_0.conv.weight": [1]}, "transform of a training folder"),
        ({"encoder.conv1.weight": [1]}, "motion network's encoder"),
        ({"cls_token": [1, 1, 384], "patch_embed.proj.weight": [1]}, "without a depth head"),
        ({"pretrained.blocks.0.norm1.weight": [384]}, "without a depth head"),
        ({"backbone.embeddings.cls_token": [1]}, "transformers"),
        ({"conv\x1b.weight": [1], "b": [1]}, r"its keys are b, conv\\x1b"),
        ({"pretrained.blocks.0.norm1.weight": [99], "head.projects.0.weight": [1]}, "99.* is not known here"),
    ],
)
def test_what_is_no_depth_network_is_named_for_what_it_is(shapes, word):
    shapes = shapes | ({"pretrained.pos_embed": [1, 1370, 99]} if "99" in word else {})
    with pytest.raises(UserError, match=word) as caught:
        recognise_depth(shaped(shapes), "w.pth")
    assert str(caught.value).startswith("w.pth: ")


def resnet_shapes(blocks: tuple[int, ...], bottleneck: bool) -> dict[str, list[int]]:
    shapes = {"conv1.weight": [64, 3, 7, 7], "bn1.running_mean": [64]}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            for conv in (1, 2, 3) if bottleneck else (1, 2):
                shapes[f"layer{stage}.{block}.conv{conv}.weight"] = [1, 1, 1, 1]
    return shapes


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "layers"), [((2, 2, 2, 2), False, 18), ((3, 4, 6, 3), False, 34), ((3, 4, 6, 3), True, 50)]
)
def test_the_number_of_layers_of_a_resnet_is_recognised(blocks, bottleneck, layers):
    tensors = shaped(resnet_shapes(blocks, bottleneck))
    assert is_resnet(tensors)
    assert recognise_resnet(tensors, "resnet.pth") == layers


def test_a_resnet_of_another_depth_is_refused():
    with pytest.raises(UserError, match="ResNet-18, 34 or 50"):
        recognise_resnet(shaped(resnet_shapes((3, 4, 23, 3), True)), "resnet101.pth")
