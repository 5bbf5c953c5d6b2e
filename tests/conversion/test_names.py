"""The table of names: exact both ways, and one error for all that does not fit."""

import numpy as np
import pytest

from endodav_jax.conversion.motion_names import (
    MOTION_FILES,
    abstract_motion_params,
    motion_params_from_torch,
    resnet_params_from_torchvision,
    resnet_rules,
    torch_from_motion_params,
)
from endodav_jax.conversion.name_rules import write_params
from endodav_jax.conversion.names import fixed_tables, params_from_torch, torch_from_params
from endodav_jax.errors import UserError
from endodav_jax.models import DepthModelConfig

golden_test = pytest.mark.golden

CONFIGS = {
    "vda_vits": DepthModelConfig.vda("vits"),
    "endodav_vits_ssb": DepthModelConfig.endodav("vits"),
    "endodav_vits_lora": DepthModelConfig.endodav("vits", adapter="lora"),
    "endodav_vits_dvlora": DepthModelConfig.endodav("vits", adapter="dvlora"),
    "endodav_vits_ssb_multihead": DepthModelConfig.endodav("vits", head="multi"),
    "endodac_vits": DepthModelConfig.endodac("vits"),
}
EXTRA_ENTRIES = {"height": np.int64(224), "width": np.int64(280), "use_stereo": np.bool_(False)}


def _assert_same(state_dict: dict, expected: dict) -> None:
    assert set(state_dict) == set(expected)
    for name, array in expected.items():
        assert state_dict[name].dtype == array.dtype
        np.testing.assert_array_equal(state_dict[name], array, err_msg=name)


@golden_test
@pytest.mark.parametrize("name", CONFIGS)
def test_a_depth_state_dict_survives_the_round_trip_bit_by_bit(golden, name):
    state_dict = golden.state_dict(name)
    _assert_same(torch_from_params(params_from_torch(state_dict, CONFIGS[name]), CONFIGS[name]), state_dict)


@golden_test
@pytest.mark.parametrize("file", MOTION_FILES)
def test_a_motion_state_dict_survives_the_round_trip_bit_by_bit(golden, file):
    state_dict = golden.state_dict(file)
    params = motion_params_from_torch(file, state_dict)
    written = torch_from_motion_params(file, params)
    for aliases in _aliases(file):  # the golden weights give the two names of a tensor two values
        for name in aliases[:-1]:
            state_dict[name] = state_dict[aliases[-1]]
    _assert_same(written, state_dict)


def _aliases(file: str) -> list[tuple[str, ...]]:
    return [
        tuple(f"{name}.{leaf}" for name in (rule.name, *rule.aliases))
        for rule in MOTION_FILES[file].rules
        if rule.aliases
        for leaf in ("weight", "bias")
    ]


@golden_test
@pytest.mark.parametrize("file", ["pose", "position", "transform"])
def test_either_of_two_names_is_enough(golden, file):
    whole = golden.state_dict(file)
    numbered = {name: array for name, array in whole.items() if not name.startswith("convs.")}
    expected = torch_from_motion_params(file, motion_params_from_torch(file, whole))
    _assert_same(torch_from_motion_params(file, motion_params_from_torch(file, numbered)), expected)


@golden_test
def test_what_files_keep_beside_weights_is_ignored(golden):
    config, state_dict = CONFIGS["endodav_vits_ssb"], golden.state_dict("endodav_vits_ssb")
    tables = fixed_tables(config)
    assert all(table.shape[:2] == (1, 32) for table in tables.values())
    with_extras = params_from_torch(state_dict | EXTRA_ENTRIES | tables, config)
    _assert_same(torch_from_params(with_extras, config), state_dict)


@golden_test
def test_one_error_lists_every_missing_unused_and_misshapen_name(golden):
    state_dict = golden.state_dict("vda_vits")
    missing = ["pretrained.norm.bias", "head.scratch.output_conv1.weight"]
    for name in missing:
        del state_dict[name]
    state_dict["head.surplus.weight"] = np.zeros(3, np.float32)
    state_dict["pretrained.cls_token"] = np.zeros((1, 1, 7), np.float32)
    with pytest.raises(UserError) as caught:
        params_from_torch(state_dict, CONFIGS["vda_vits"], "weights.pth")
    message = str(caught.value)
    assert message.startswith("weights.pth: ")
    assert "\n" not in message
    for name in (*missing, "head.surplus.weight", "pretrained.cls_token [1, 1, 7] instead of [1, 1, 384]"):
        assert name in message


@golden_test
def test_position_embeddings_of_another_grid_are_refused_by_name(golden):
    state_dict = golden.state_dict("vda_vits")
    state_dict["pretrained.pos_embed"] = state_dict["pretrained.pos_embed"][:, :257]
    with pytest.raises(UserError, match=r"pretrained\.pos_embed has 257 positions, wanted 1370"):
        params_from_torch(state_dict, CONFIGS["vda_vits"])


@golden_test
def test_endodac_files_may_call_the_encoder_by_its_older_name(golden):
    state_dict = golden.state_dict("endodac_vits")
    older = {name.replace("pretrained.", "encoder.", 1): array for name, array in state_dict.items()}
    config = CONFIGS["endodac_vits"]
    _assert_same(torch_from_params(params_from_torch(older, config), config), state_dict)


@pytest.mark.parametrize("layers", [18, 34, 50])
def test_imagenet_weights_answer_equal_stacked_frames_as_they_answered_one(layers):
    rng = np.random.default_rng(0)
    single = abstract_motion_params("pose", layers)["encoder"]
    stem = single["stem"] | {"conv": {"kernel": np.zeros((7, 7, 3, 64), np.float32)}}
    zeros = _filled(single | {"stem": stem})
    state_dict = write_params(zeros, resnet_rules("", ""))
    state_dict["conv1.weight"] = rng.standard_normal((64, 3, 7, 7), np.float32)
    params = resnet_params_from_torchvision(state_dict, layers=layers)
    kernel = params["stem"]["conv"]["kernel"]
    assert kernel.shape == (7, 7, 6, 64)
    expected = state_dict["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel[:, :, :3], kernel[:, :, 3:])
    np.testing.assert_allclose(kernel[:, :, :3] + kernel[:, :, 3:], expected, rtol=1e-6)


def _filled(tree):
    if isinstance(tree, dict):
        return {name: _filled(branch) for name, branch in tree.items()}
    return np.zeros(tree.shape, np.float32)
