"""Files of weights of either format become one flat state dict."""

import functools

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from endodav_jax.conversion.weights_file import read_weights_file
from endodav_jax.conversion.wrappings import MAX_WRAPPERS
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of
from tests.conversion.torch_writer import write_pth

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "wrappers", [(), ("model",), ("state_dict",), ("params", "model"), ("model", "net", "weights")]
)
def test_wrappers_and_data_parallel_prefixes_are_taken_off(tmp_path, wrappers):
    saved = {"module.layer.weight": WEIGHT, "module.bias": WEIGHT[0], "height": 256}
    for name in reversed(wrappers):
        saved = {"epoch": 3, name: saved, "optimizer": {"state": 1}}
    file = read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert list(file.tensors) == ["layer.weight", "bias"]
    np.testing.assert_array_equal(file.tensors["layer.weight"], WEIGHT)
    assert file.entries == {"height": 256}
    assert file.sha256 == sha256_of(tmp_path / "w.pth")


def test_a_prefix_of_some_names_alone_stays(tmp_path):
    file = read_weights_file(write_pth(tmp_path / "w.pth", {"module.weight": WEIGHT, "bias": WEIGHT[0]}))
    assert list(file.tensors) == ["module.weight", "bias"]


@pytest.mark.parametrize("name", ["w.safetensors", "misnamed.pth"])
def test_safetensors_with_bfloat16_and_metadata(tmp_path, name):
    tensors = {"weight": WEIGHT, "half": WEIGHT.astype(ml_dtypes.bfloat16), "one": np.ones((), np.int64)}
    save_file(tensors, tmp_path / name, {"card": "{}"})
    file = read_weights_file(tmp_path / name)
    assert file.metadata == {"card": "{}"}
    for key, value in tensors.items():
        assert file.tensors[key].dtype == value.dtype
        np.testing.assert_array_equal(file.tensors[key], value)


def test_a_safetensors_file_is_known_whatever_the_length_of_its_header(tmp_path):
    for length in range(256):
        save_file({"weight": WEIGHT}, tmp_path / "w.safetensors", {"padding": "x" * length})
        assert list(read_weights_file(tmp_path / "w.safetensors").tensors) == ["weight"]


def test_a_truncated_safetensors_file_is_one_line(tmp_path):
    save_file({"weight": WEIGHT}, tmp_path / "w.safetensors")
    content = (tmp_path / "w.safetensors").read_bytes()
    for damaged in (content[:-3], content[:9] + b"}" + content[10:]):
        (tmp_path / "w.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match="truncated or damaged") as caught:
            read_weights_file(tmp_path / "w.safetensors")
        assert "\n" not in str(caught.value)


def test_numbers_that_numpy_does_not_have_are_one_line(tmp_path):
    header = b'{"weight":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"12")
    with pytest.raises(UserError, match=r"cannot read \(.*float8.*\); write it as float32 or bfloat16$"):
        read_weights_file(tmp_path / "w.safetensors")


def test_one_of_several_parts_of_a_networks_weights_is_refused(tmp_path):
    save_file({"weight": WEIGHT}, tmp_path / "model-00002-of-00003.safetensors")
    with pytest.raises(UserError, match="is part 2 of 3 of a network's weights"):
        read_weights_file(tmp_path / "model-00002-of-00003.safetensors")
    save_file({"weight": WEIGHT}, tmp_path / "model-00001-of-00001.safetensors")
    assert list(read_weights_file(tmp_path / "model-00001-of-00001.safetensors").tensors) == ["weight"]


@pytest.mark.parametrize(
    ("saved", "word"),
    [
        ({"state": {"0": {"exp_avg": WEIGHT}}, "param_groups": {"lr": 1}}, "optimiser"),
        ({"epoch": 3}, "no tensors"),
        (
            functools.reduce(lambda saved, _: {"model": saved}, range(MAX_WRAPPERS + 1), {"weight": WEIGHT}),
            "no tensors",
        ),
        ({"a\nb": WEIGHT}, "unprintable"),
        ({3: WEIGHT}, "not names"),
        (7, "no tensors"),
    ],
)
def test_what_is_no_state_dict_is_said(tmp_path, saved, word):
    with pytest.raises(UserError, match=word) as caught:
        read_weights_file(write_pth(tmp_path / "w.pth", saved))
    assert str(caught.value).startswith(str(tmp_path / "w.pth"))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_weights_file(tmp_path / "w.pth")
    with pytest.raises(UserError, match="is a folder"):
        read_weights_file(tmp_path)
