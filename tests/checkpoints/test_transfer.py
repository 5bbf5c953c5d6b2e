"""Weights of any source are loaded by one function, converted by another, and exported for others to use."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from endodav_jax.checkpoints import Card, convert, export_adapter, export_merged, load_model, save_model
from endodav_jax.checkpoints.shipped import SHIPPED_WEIGHTS
from endodav_jax.checkpoints.transfer import sha256_of_source
from endodav_jax.conversion.names import torch_from_params
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of
from endodav_jax.models import DepthModelConfig, merge_adapters
from tests.conversion.torch_writer import write_pth
from tests.conversion.weights import (
    DEPTH_ANYTHING,
    ENDODAV,
    VDA,
    assert_same_tensors,
    base_of,
    motion_params,
    motion_state_dicts,
    params_of,
    state_dict_of,
)

CARD = Card("trained here", "MIT", {"vda.pth": "0" * 64})


@pytest.fixture(scope="module")
def vda_pth(tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("vda") / "video_depth_anything_vitt.pth", state_dict_of(VDA))


@pytest.fixture(scope="module")
def training_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights_19")
    write_pth(folder / "depth_model.pth", state_dict_of(ENDODAV) | {"height": 256})
    for file in ("pose_encoder", "pose", "intrinsics_head"):
        write_pth(folder / f"{file}.pth", motion_state_dicts()[file])
    return folder


def test_there_and_back_to_the_bit(tmp_path, vda_pth):
    card = convert(vda_pth, tmp_path / "network")
    assert card.what == "Video-Depth-Anything vitt"
    assert card.sources == {vda_pth.name: sha256_of(vda_pth)}
    assert "Apache-2.0" in card.licence
    convert(tmp_path / "network", tmp_path / "back.safetensors", to="safetensors")
    assert_same_tensors(load_file(tmp_path / "back.safetensors"), state_dict_of(VDA), in_order=False)
    assert convert(tmp_path / "back.safetensors", tmp_path / "again").what == card.what
    jax.tree.map(np.testing.assert_array_equal, load_model(tmp_path / "again")[1], load_model(tmp_path / "network")[1])


def test_a_training_folder_there_and_back(tmp_path, training_folder):
    convert(training_folder, tmp_path / "network")
    _, params, card = load_model(tmp_path / "network")
    assert set(params) == {"depth", "pose", "intrinsics"}
    assert card.entries == {"height": 256, "resnet_layers": 18}
    convert(tmp_path / "network", tmp_path / "back", to="safetensors")
    files = {path.stem: load_file(path) for path in (tmp_path / "back").iterdir()}
    assert set(files) == {"depth_model", "pose_encoder", "pose", "intrinsics_head"}
    for file, expected in ({"depth_model": state_dict_of(ENDODAV)} | motion_state_dicts()).items():
        if file in files:
            assert_same_tensors(files[file], expected, in_order=False)
    again = load_model(tmp_path / "back")
    assert again[0] == ENDODAV
    jax.tree.map(np.testing.assert_array_equal, again[1], params)


def test_published_weights_are_loaded_directly(vda_pth, training_folder):
    config, params, card = load_model(vda_pth)
    assert config == VDA
    assert card.what == "Video-Depth-Anything vitt"
    jax.tree.map(np.testing.assert_array_equal, params, {"depth": params_of(VDA)})
    assert set(load_model(training_folder)[1]) == {"depth", "pose", "intrinsics"}


def test_networks_trained_here_are_written_as_a_strict_load_wants_them(tmp_path):
    params = {"depth": params_of(ENDODAV), "flow": motion_params()["flow"]}
    save_model(tmp_path / "network", ENDODAV, params, CARD)
    convert(tmp_path / "network", tmp_path / "back", to="safetensors")
    assert_same_tensors(
        load_file(tmp_path / "back" / "depth_model.safetensors"), state_dict_of(ENDODAV), in_order=False
    )
    flow = motion_state_dicts()["position"]
    assert any(name.startswith("decoder.") for name in flow)
    assert_same_tensors(load_file(tmp_path / "back" / "position.safetensors"), flow, in_order=False)


def test_an_adapter_is_exported_and_applied(tmp_path):
    base = torch_from_params(base_of(ENDODAV, VDA), VDA)
    public = write_pth(tmp_path / "video_depth_anything_vitt.pth", base)
    save_model(tmp_path / "trained", ENDODAV, {"depth": params_of(ENDODAV)}, CARD)
    export_adapter(tmp_path / "trained", tmp_path / "a.safetensors")
    card = convert(public, tmp_path / "applied", adapter=tmp_path / "a.safetensors")
    assert card == CARD
    config, params, _ = load_model(tmp_path / "applied")
    assert config == ENDODAV
    jax.tree.map(np.testing.assert_array_equal, params, {"depth": params_of(ENDODAV)})
    with pytest.raises(UserError, match="is an adapter; to apply it"):
        load_model(tmp_path / "a.safetensors")
    convert(public, tmp_path / "metric", adapter=tmp_path / "a.safetensors", output="metric_depth")
    assert load_model(tmp_path / "metric")[0].metric


def test_a_merged_network_has_its_adapters_folded_in_and_either_form_is_the_same(tmp_path):
    save_model(tmp_path / "trained", ENDODAV, {"depth": params_of(ENDODAV)}, CARD)
    export_merged(tmp_path / "trained", tmp_path / "merged")
    export_merged(tmp_path / "trained", tmp_path / "merged.safetensors")
    plain, merged = merge_adapters(ENDODAV, params_of(ENDODAV))
    config, params, card = load_model(tmp_path / "merged")
    assert config == plain
    assert "ssb" in card.notes[-1]
    jax.tree.map(np.testing.assert_array_equal, params, {"depth": merged})
    config, params, _ = load_model(tmp_path / "merged.safetensors", family="endodav")
    assert config == plain
    jax.tree.map(np.testing.assert_array_equal, params, {"depth": merged})


def test_image_weights_say_so_on_the_card(tmp_path):
    source = write_pth(tmp_path / "depth_anything_v2_vitt.pth", state_dict_of(DEPTH_ANYTHING))
    convert(source, tmp_path / "network")
    card = json.loads((tmp_path / "network" / "card.json").read_text())
    assert card["what"] == "Depth Anything vitt"
    assert "motion modules" in card["notes"][-1]
    assert card["model"]["family"] == "vda"


def test_the_folder_of_a_training_stands_for_its_network(tmp_path, vda_pth):
    convert(vda_pth, tmp_path / "run" / "model")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    config, params, card = load_model(tmp_path / "run")
    same_config, same, same_card = load_model(tmp_path / "run" / "model")
    jax.tree.map(np.testing.assert_array_equal, params, same)
    assert (config, card) == (same_config, same_card)


def test_the_digest_of_weights_changes_with_them_and_not_with_their_place(tmp_path, vda_pth, training_folder):
    config, params, _ = load_model(vda_pth)

    def saved(folder, **changes):
        weights = params | {"depth": jax.tree.map(lambda leaf: leaf * changes.get("factor", 1), params["depth"])}
        save_model(folder, dataclasses.replace(config, **changes.get("config", {})), weights, CARD)
        return sha256_of_source(folder)

    digests = [
        saved(tmp_path / "run" / "model"),
        saved(tmp_path / "scaled", factor=2),
        saved(tmp_path / "metric", config={"output": "metric_depth"}),
        sha256_of_source(vda_pth),
        sha256_of_source(training_folder),
        *(sha256_of_source(name) for name in SHIPPED_WEIGHTS),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {64}
    assert sha256_of_source(tmp_path / "run") == digests[0]
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved")
    assert sha256_of_source(tmp_path / "moved") == digests[0]
    shutil.copytree(training_folder, tmp_path / "more")
    assert sha256_of_source(tmp_path / "more") == sha256_of_source(training_folder)
    with open(tmp_path / "more" / "pose.pth", "ab") as file:
        file.write(b"0")
    assert sha256_of_source(tmp_path / "more") != sha256_of_source(training_folder)
    assert sha256_of_source(tmp_path / "nowhere") == ""


def test_what_cannot_be_loaded_is_one_line(tmp_path, vda_pth):
    with pytest.raises(UserError, match="no such file or folder of weights"):
        load_model(tmp_path / "nothing.pth")
    with pytest.raises(UserError, match=r"has neither card\.json"):
        load_model(tmp_path)
    save_model(tmp_path / "network", VDA, {"depth": {}}, CARD)
    with pytest.raises(UserError, match="omit --family"):
        load_model(tmp_path / "network", family="vda")
    with pytest.raises(UserError, match="are not those of the network on its card"):
        load_model(tmp_path / "network")
    save_model(tmp_path / "resnet", None, {"resnet": {}}, CARD)
    with pytest.raises(UserError, match="not a depth network"):
        load_model(tmp_path / "resnet")
    with pytest.raises(UserError, match="--family endodac does not fit"):
        load_model(vda_pth, family="endodac")


def test_outputs_are_replaced_only_when_asked_and_only_if_they_are_of_this_kind(tmp_path, vda_pth, training_folder):
    with pytest.raises(UserError, match="name a folder"):
        convert(training_folder, tmp_path / "w.safetensors", to="safetensors")
    convert(vda_pth, tmp_path / "w.safetensors", to="safetensors")
    with pytest.raises(UserError, match="--overwrite"):
        convert(vda_pth, tmp_path / "w.safetensors", to="safetensors")
    convert(vda_pth, tmp_path / "w.safetensors", to="safetensors", overwrite=True)
    with pytest.raises(UserError, match="is not a folder of safetensors"):
        convert(vda_pth, vda_pth.parent, to="safetensors", overwrite=True)
    assert vda_pth.is_file()


@pytest.mark.slow
@pytest.mark.golden
@pytest.mark.parametrize("name", ["endodav_vitb_ssb", "endodac_vitb"])
def test_a_published_checkpoint_there_and_back_on_disk(golden, tmp_path, name):
    state = golden.state_dict(name)
    convert(write_pth(tmp_path / "depth_model.pth", state), tmp_path / "network")
    convert(tmp_path / "network", tmp_path / "back.safetensors", to="safetensors")
    assert_same_tensors(load_file(tmp_path / "back.safetensors"), state, in_order=False)
    preset = DepthModelConfig.endodav("vitb") if "endodav" in name else DepthModelConfig.endodac("vitb")
    assert load_model(tmp_path / "network")[0] == preset


def test_metric_weights_are_known_by_their_name_and_stay_metric_everywhere(tmp_path):
    source = write_pth(tmp_path / "metric_video_depth_anything_vitt.pth", state_dict_of(VDA))
    card = convert(source, tmp_path / "network")
    assert "depth in metres" in card.notes[-1]
    assert json.loads((tmp_path / "network/card.json").read_text())["model"]["output"] == "metric_depth"
    metric = dataclasses.replace(VDA, output="metric_depth")
    assert load_model(source)[0] == load_model(tmp_path / "network")[0] == metric
    # Under a name that says nothing, and with adapters folded in.
    convert(tmp_path / "network", tmp_path / "plain.safetensors", to="safetensors")
    export_merged(tmp_path / "network", tmp_path / "merged.safetensors")
    assert load_model(tmp_path / "plain.safetensors")[0] == load_model(tmp_path / "merged.safetensors")[0] == metric


def test_what_an_output_is_may_be_said(tmp_path, vda_pth):
    convert(vda_pth, tmp_path / "network", output="metric_depth")
    assert load_model(tmp_path / "network")[0].metric
    assert load_model(vda_pth, output="metric_depth")[0].metric
    config, _, card = load_model(tmp_path / "network", output="disparity")
    assert not config.metric
    assert card.notes[-1] == "its output is taken as disparity, as asked"


def test_metric_image_weights_are_refused(tmp_path):
    source = write_pth(tmp_path / "depth_anything_v2_metric_hypersim_vitt.pth", state_dict_of(DEPTH_ANYTHING))
    with pytest.raises(UserError, match="end in a sigmoid times the greatest depth"):
        load_model(source)
