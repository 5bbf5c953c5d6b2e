"""Published files and training folders become networks, and what does not fit is told in one line."""

import re

import jax
import ml_dtypes
import numpy as np
import pytest

from endodav_jax.conversion.motion_names import MOTION_FILES, resnet_rules
from endodav_jax.conversion.name_rules import write_params
from endodav_jax.conversion.published_files import published_state_dicts, read_published
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of
from tests.conversion.torch_writer import write_pth
from tests.conversion.weights import (
    DEPTH_ANYTHING,
    ENDODAC,
    ENDODAV,
    VDA,
    assert_same_tensors,
    motion_params,
    motion_state_dicts,
    params_of,
    state_dict_of,
)

EXTRA = {"height": 256, "width": 320, "use_stereo": False}


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A training folder as EndoDAV writes it."""
    folder = tmp_path_factory.mktemp("weights_19")
    write_pth(folder / "depth_model.pth", state_dict_of(ENDODAV) | EXTRA)
    for file, state in motion_state_dicts().items():
        write_pth(folder / f"{file}.pth", state)
    (folder / "adam.pth").write_bytes(b"not even read")
    return folder


@pytest.fixture
def folder(published_folder, tmp_path):
    """The same, in links that a test may replace."""
    for path in published_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_a_training_folder_gives_every_network_and_writes_back_to_the_bit(folder):
    found = read_published(folder)
    assert found.config == ENDODAV
    assert found.params["depth"]["encoder"]["pos_embed"].dtype == np.float32
    for network, expected in ({"depth": params_of(ENDODAV)} | motion_params()).items():
        jax.tree.map(np.testing.assert_array_equal, found.params[network], expected)
    assert found.entries == EXTRA | {"resnet_layers": 18}
    assert found.sources["pose.pth"] == sha256_of(folder / "pose.pth")
    assert "adam.pth" not in found.sources
    assert found.notes == ()
    states = published_state_dicts(found.config, found.params, found.origin)
    for file, expected in ({"depth_model": state_dict_of(ENDODAV)} | motion_state_dicts()).items():
        assert_same_tensors(states[file], expected)


def test_files_that_are_not_there_are_said_and_their_networks_left_out(folder):
    (folder / "intrinsics_head.pth").unlink()
    (folder / "pose.pth").unlink()
    (folder / "predictive_mask.pth").write_bytes(b"not even read")
    found = read_published(folder)
    assert set(found.params) == {"depth", "flow", "transform"}
    assert "pose.pth, intrinsics_head.pth" in found.notes[0]
    assert "predictive_mask.pth" in found.notes[1]


def test_a_folder_without_a_depth_network_is_refused(folder):
    (folder / "depth_model.pth").unlink()
    with pytest.raises(UserError, match=r"has no depth_model\.pth"):
        read_published(folder)


def test_one_error_lists_all_that_does_not_fit_in_any_file(folder):
    depth, pose = state_dict_of(ENDODAV), motion_state_dicts()["pose"]
    del depth["pretrained.blocks.3.norm1.weight"], depth["head.scratch.refinenet2.out_conv.bias"]
    depth |= {"pretrained.cls_token": np.zeros((1, 1, 7), np.float32), "head.stray": np.zeros(2, np.float32)}
    pose |= {"convs.more": np.zeros(1, np.float32)}
    write_pth(folder / "depth_model.pth", depth)
    write_pth(folder / "pose.pth", pose)
    with pytest.raises(UserError) as caught:
        read_published(folder)
    line = str(caught.value)
    assert "missing (2): pretrained.blocks.3.norm1.weight, head.scratch.refinenet2.out_conv.bias" in line
    assert "unused (1): head.stray" in line
    assert "misshapen (1): pretrained.cls_token [1, 1, 7] instead of [1, 1, 192]" in line
    assert re.search(r"pose\.pth: .*unused \(1\): convs\.more", line)
    assert "\n" not in line


def test_endodacs_own_names_are_read_and_written_back(tmp_path):
    common = state_dict_of(ENDODAC)
    own = {re.sub(r"^pretrained\.", "encoder.", name): value for name, value in common.items()}
    found = read_published(write_pth(tmp_path / "depth_model.pth", own))
    assert found.config == ENDODAC
    states = published_state_dicts(found.config, found.params, found.origin)
    assert_same_tensors(states["depth_model"], own)
    assert_same_tensors(published_state_dicts(found.config, found.params)["depth_model"], common)


def test_decoders_saved_under_one_of_their_two_names_are_written_back_under_that(folder):
    pose = {name: value for name, value in motion_state_dicts()["pose"].items() if name.startswith("net.")}
    write_pth(folder / "pose.pth", pose)
    found = read_published(folder)
    assert_same_tensors(published_state_dicts(found.config, found.params, found.origin)["pose"], pose)


def test_video_weights_keep_the_position_tables_they_came_with(tmp_path):
    state = state_dict_of(VDA)
    tables = [name for name in state if name.endswith(".pe")]
    assert len(tables) == 8
    state |= {name: np.nextafter(state[name], np.float32(9)) for name in tables}
    found = read_published(write_pth(tmp_path / "video_depth_anything_vitt.pth", state))
    assert found.config == VDA
    assert found.what == "Video-Depth-Anything vitt"
    assert_same_tensors(published_state_dicts(found.config, found.params, found.origin)["depth_model"], state)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    state = {name: value.astype(dtype) for name, value in state_dict_of(VDA).items() if not name.endswith(".pe")}
    found = read_published(write_pth(tmp_path / "w.pth", state))
    written = published_state_dicts(found.config, found.params)["depth_model"]
    for name, value in state.items():
        assert written[name].dtype == np.float32
        np.testing.assert_array_equal(written[name], value.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("metric_video_depth_anything_vitt.pth", "metric_depth"),
        ("Video-Metric.v1.pth", "metric_depth"),
        ("endodav_photometric.pth", "disparity"),
        ("geometric.pth", "disparity"),
        ("metrics_best.pth", "disparity"),
    ],
)
def test_metric_weights_are_told_by_a_whole_word_of_the_files_name(tmp_path, name, output):
    found = read_published(write_pth(tmp_path / name, state_dict_of(VDA)))
    assert found.config.output == output
    assert any("depth in metres" in note for note in found.notes) == (output == "metric_depth")


def test_image_weights_of_the_second_version_give_a_video_network_whose_motion_modules_do_nothing(tmp_path):
    state = state_dict_of(DEPTH_ANYTHING)
    found = read_published(write_pth(tmp_path / "depth_anything_v2_vitt.pth", state))
    assert found.config == VDA
    assert "change nothing" in found.notes[-1]
    modules = found.params["depth"]["head"]["motion_modules"]
    assert set(modules) == {0, 1, 2, 3}
    for module in modules.values():
        assert not np.any(module["proj_out"]["kernel"])
        assert not np.any(module["proj_out"]["bias"])
        assert np.any(module["proj_in"]["kernel"])
    written = published_state_dicts(found.config, found.params)["depth_model"]
    for name, value in state.items():
        np.testing.assert_array_equal(written[name.replace("depth_head.", "head.")], value)


def test_image_weights_of_the_first_version_give_the_image_network(tmp_path):
    state = state_dict_of(DEPTH_ANYTHING)
    found = read_published(write_pth(tmp_path / "w.pth", state), family="endodac")
    assert found.config == DEPTH_ANYTHING
    assert_same_tensors(published_state_dicts(found.config, found.params, found.origin)["depth_model"], state)


def test_a_torchvision_resnet_takes_two_frames_and_writes_back_as_it_was(tmp_path):
    encoder = motion_params()["pose"]["encoder"]
    state = write_params(encoder, resnet_rules("", ""))
    state["conv1.weight"] = state["conv1.weight"][:, :3]
    found = read_published(write_pth(tmp_path / "resnet18.pth", state))
    assert found.config is None
    assert found.entries == {"resnet_layers": 18}
    kernel = found.params["resnet"]["stem"]["conv"]["kernel"]
    half = state["conv1.weight"].transpose(2, 3, 1, 0) / 2
    np.testing.assert_array_equal(kernel, np.concatenate([half, half], 2))
    assert_same_tensors(published_state_dicts(None, found.params, found.origin)["resnet"], state)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_of_a_run_that_diverged_are_refused(tmp_path, value):
    state = state_dict_of(VDA)
    name = "pretrained.blocks.7.mlp.fc1.bias"
    state[name] = state[name].copy()
    state[name][3] = value
    with pytest.raises(UserError, match=f"{name} holds NaN or infinity"):
        read_published(write_pth(tmp_path / "w.pth", state))


@pytest.mark.filterwarnings("error")
def test_numbers_that_float32_does_not_hold_are_refused(tmp_path):
    state = {name: value.astype(np.float64) for name, value in state_dict_of(VDA).items()}
    name = "pretrained.blocks.7.mlp.fc1.bias"
    state[name][3] = 1e60
    with pytest.raises(UserError, match=f"{name} holds numbers too large for float32"):
        read_published(write_pth(tmp_path / "w.pth", state))


def test_quantised_weights_are_refused(tmp_path):
    state = {name: (100 * value).astype(np.int8) for name, value in state_dict_of(VDA).items()}
    with pytest.raises(
        UserError, match=r"w\.pth: \d+ parameters are not floating-point numbers, such as .* int8; give"
    ):
        read_published(write_pth(tmp_path / "w.pth", state))


def test_two_names_of_one_parameter_are_not_chosen_between(tmp_path):
    state = state_dict_of(ENDODAV)
    twice = {re.sub(r"^pretrained\.", "encoder.", name): np.zeros_like(value) for name, value in state.items()}
    with pytest.raises(UserError, match=r"encoder\.\S+ and pretrained\.\S+ are one parameter \(\d+ such pairs\)"):
        read_published(write_pth(tmp_path / "w.pth", state | twice))


def test_every_file_of_a_training_folder_is_known():
    assert set(motion_state_dicts()) == set(MOTION_FILES)
    assert len(MOTION_FILES) == 7


@pytest.mark.slow
@pytest.mark.golden
@pytest.mark.parametrize(
    "name",
    [
        "vda_vits", "vda_vitb", "endodav_vits_ssb", "endodav_vits_lora", "endodav_vits_dvlora",
        "endodav_vits_ssb_multihead", "endodav_vitb_ssb", "endodac_vits", "endodac_vitb",
    ],
)  # fmt: skip
def test_published_state_dicts_survive_the_way_there_and_back(golden, tmp_path, name):
    state = golden.state_dict(name)
    found = read_published(write_pth(tmp_path / "depth_model.pth", state | EXTRA))
    assert_same_tensors(published_state_dicts(found.config, found.params, found.origin)["depth_model"], state)


def test_two_files_of_one_network_are_not_chosen_between(folder):
    (folder / "adam.pt").write_bytes(b"not even read, and nobody minds")
    read_published(folder)
    (folder / "depth_model.safetensors").write_bytes(b"not even read")
    with pytest.raises(UserError, match=r"depth_model\.safetensors: depth_model\.pth is beside it"):
        read_published(folder)
