"""What was trained fits into a small file, and applied to the public weights gives the trained network."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from endodav_jax.checkpoints import Card, apply_adapter, save_adapter
from endodav_jax.errors import UserError
from endodav_jax.models import DepthModelConfig, abstract_params
from tests.conversion.weights import ENDODAC, ENDODAV, base_of, params_of, state_dict_of

BASE = DepthModelConfig.vda("vitt")
CARD = Card("EndoDAV vitt", "MIT", {"vda_vitt.pth": "0" * 64}, ("trained on the phantom",))


@pytest.mark.parametrize(("adapter", "head"), [("ssb", "single"), ("lora", "multi"), ("dvlora", "single")])
def test_base_and_adapter_give_the_trained_network(tmp_path, adapter, head):
    config = dataclasses.replace(ENDODAV, adapter=adapter, head=head)
    save_adapter(tmp_path / "a.safetensors", config, params_of(config), CARD)
    found, params, card = apply_adapter(BASE, base_of(config, BASE), tmp_path / "a.safetensors")
    assert found == config
    assert card == CARD
    jax.tree.map(np.testing.assert_array_equal, params, params_of(config))


def test_endodac_from_image_weights(tmp_path):
    base = DepthModelConfig.endodac("vitt", adapter="none", head="single", residual_blocks=(), normalise=True)
    save_adapter(tmp_path / "a.safetensors", ENDODAC, params_of(ENDODAC), CARD)
    found, params, _ = apply_adapter(base, base_of(ENDODAC, base), tmp_path / "a.safetensors")
    assert found == ENDODAC
    jax.tree.map(np.testing.assert_array_equal, params, params_of(ENDODAC))


def test_the_file_holds_the_trained_tensors_alone(tmp_path):
    save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD)
    tensors = load_file(tmp_path / "a.safetensors")
    expected = state_dict_of(ENDODAV)
    assert set(tensors) == {name for name in expected if "lora_" in name or "output_conv" in name}
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, expected[name])


def test_the_published_network_takes_well_under_two_megabytes(tmp_path):
    config = DepthModelConfig.endodav("vitb")
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), abstract_params(config))
    tensors = save_adapter(tmp_path / "a.safetensors", config, params, CARD)
    assert sum(value.size for value in tensors.values()) == 191_489
    assert (tmp_path / "a.safetensors").stat().st_size < 1_000_000


def test_other_weights_than_it_was_trained_on_are_refused(tmp_path):
    save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD)
    other = base_of(ENDODAV, BASE)
    layer = other["encoder"]["blocks"][3]["mlp"]["fc1"]
    layer["bias"] = np.nextafter(layer["bias"], np.float32(9))
    with pytest.raises(UserError, match=r"was trained on vda_vitt\.pth, whose numbers differ"):
        apply_adapter(BASE, other, tmp_path / "a.safetensors")


def test_another_preset_is_refused(tmp_path):
    save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD)
    with pytest.raises(UserError, match="was trained on vitt, and the weights given are vits"):
        apply_adapter(DepthModelConfig.vda("vits"), {}, tmp_path / "a.safetensors")


def test_files_that_are_no_adapters_are_refused(tmp_path):
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="not an adapter file"):
        apply_adapter(BASE, {}, tmp_path / "a.safetensors")
    metadata = {"kind": "endodav_jax adapter", "model": "{"}
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(UserError, match="metadata are damaged"):
        apply_adapter(BASE, {}, tmp_path / "a.safetensors")


def test_a_network_without_adapters_has_none_to_save(tmp_path):
    with pytest.raises(UserError, match="has no adapter"):
        save_adapter(tmp_path / "a.safetensors", BASE, params_of(BASE), CARD)
    assert not list(tmp_path.iterdir())


def test_an_adapter_file_is_replaced_only_when_asked(tmp_path):
    save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD)
    with pytest.raises(UserError, match="--overwrite"):
        save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD)
    save_adapter(tmp_path / "a.safetensors", ENDODAV, params_of(ENDODAV), CARD, overwrite=True)
