"""A network is found whatever a training program wrapped around it or saved beside it."""

import numpy as np
import pytest

from endodav_jax.conversion.published_files import read_published
from endodav_jax.conversion.weights_file import read_weights_file
from endodav_jax.errors import UserError
from tests.conversion.torch_writer import write_pth
from tests.conversion.weights import ENDODAC, VDA, assert_same_tensors, motion_state_dicts, state_dict_of

# Names alone tell what a network is, so most tests do with a number for each tensor.
STATE = {name: np.full(1, i, np.float32) for i, name in enumerate(state_dict_of(VDA))}
LOSS = np.array(0.3, np.float32)


def prefixed(prefix: str, state: dict = STATE) -> dict:
    return {prefix + name: value for name, value in state.items()}


def compiled(part: str, word: str) -> dict:
    """The network with one of its modules wrapped."""
    return {name.replace(f"{part}.", f"{part}.{word}."): value for name, value in STATE.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "module.", "_orig_mod.", "model.", "ema.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module.",
        "ema_model.module.", "net.model.network.", "_fsdp_wrapped_module.model.", "depth_network.", "a.b.c.",
    ],
)  # fmt: skip
def test_prefixes_are_taken_off_in_any_order(tmp_path, prefix):
    file = read_weights_file(write_pth(tmp_path / "w.pth", prefixed(prefix)))
    assert_same_tensors(file.tensors, STATE)
    assert file.notes == ()


@pytest.mark.parametrize(
    "entries", [("state_dict",), ("model",), ("ema",), ("anything",), ("state_dict", "model"), tuple("abcd")]
)
def test_entries_around_it_are_looked_into(tmp_path, entries):
    saved = prefixed("module._orig_mod.")
    for name in reversed(entries):
        saved = {"epoch": np.array(3), name: saved, "optimizer": {"state": {"0": {"step": LOSS}}, "param_groups": {}}}
    file = read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert_same_tensors(file.tensors, STATE)
    assert file.place == ".".join(entries)


@pytest.mark.parametrize(
    "beside",
    [
        {"epoch": np.array(3), "loss": LOSS},
        {"rng_state": np.zeros(5056, np.uint8)},
        {"optimizer": {"state": {"0": {"step": LOSS, "exp_avg": np.zeros(9999, np.float32)}}, "param_groups": {}}},
        {"moments": prefixed("exp_avg.", {"w": np.zeros(4)}), "many": {f"t{i}": LOSS for i in range(2000)}},
    ],
)
def test_tensors_beside_the_weights_do_not_hide_them(tmp_path, beside):
    assert_same_tensors(read_weights_file(write_pth(tmp_path / "w.pth", beside | {"model": STATE})).tensors, STATE)


def test_numbers_among_the_weights_themselves_are_left_out_and_named(tmp_path):
    file = read_weights_file(write_pth(tmp_path / "w.pth", STATE | {"epoch": np.array(3), "loss": LOSS}))
    assert_same_tensors(file.tensors, STATE)
    assert file.notes == ("left out, no part of the network (2): epoch, loss",)


def test_an_averaged_network_counts_its_updates(tmp_path):
    saved = {"n_averaged": np.array(7)} | prefixed("module.")
    file = read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert_same_tensors(file.tensors, STATE)
    assert file.notes == ("left out, no part of the network (1): n_averaged",)


@pytest.mark.parametrize("part", ["pretrained", "head"])
@pytest.mark.parametrize("word", ["_orig_mod", "module", "_checkpoint_wrapped_module"])
def test_wrapped_parts_of_the_network_are_unwrapped(tmp_path, part, word):
    assert_same_tensors(read_weights_file(write_pth(tmp_path / "w.pth", compiled(part, word))).tensors, STATE)


def test_the_network_is_found_among_other_parts_of_a_training(tmp_path):
    criterion = {"criterion.features.0.weight": np.zeros((3, 3), np.float32)}
    saved = {"state_dict": criterion | prefixed("model.") | prefixed("pose.", motion_state_dicts()["pose_encoder"])}
    file = read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert_same_tensors(file.tensors, STATE)
    assert any("criterion.features.0.weight" in note for note in file.notes)
    assert any("state_dict.pose" in note for note in file.notes)


@pytest.mark.parametrize("entries", [("ema", "model"), ("model", "model_ema"), ("state_dict_ema", "state_dict")])
def test_of_two_networks_the_trained_one_is_taken_and_the_averaged_one_named(tmp_path, entries):
    averaged = {name: 2 * value for name, value in STATE.items()}
    saved = {name: averaged if "ema" in name else STATE for name in entries}
    file = read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert_same_tensors(file.tensors, STATE)
    assert len(file.notes) == 1
    assert "ema" in file.notes[0].split("left out")[1]


def test_other_programs_names_are_found_too(tmp_path):
    state = {name.replace("pretrained.", "encoder."): value for name, value in state_dict_of(ENDODAC).items()}
    wrapped = write_pth(tmp_path / "w.pth", {"model": {f"module.{name}": value for name, value in state.items()}})
    assert read_published(wrapped).config == ENDODAC


def test_a_converted_network_does_not_depend_on_its_wrappings(tmp_path):
    found = read_published(
        write_pth(tmp_path / "w.pth", {"epoch": np.array(3), "ema": prefixed("module.", state_dict_of(VDA))})
    )
    assert found.config == VDA
    assert list(found.origin.order["depth_model"]) == list(STATE)


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"model": {"layer.weight": LOSS, "bias": LOSS}}, ("entry model", "bias, layer.weight", "(2 tensors)")),
        ({"module.a.weight": LOSS}, ("keys are a.weight", "looked for pretrained.blocks")),
        ({"epoch": 3, "step": 7}, ("entries: epoch, step",)),
    ],
)
def test_what_was_found_and_what_was_looked_for_is_said(tmp_path, saved, words):
    with pytest.raises(UserError) as caught:
        read_published(write_pth(tmp_path / "w.pth", saved))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)
