"""Files of PyTorch are read without it, to the bit; what is no tensor is refused, and nothing in a file is run."""

import contextlib
import math
import pickle
import re
import struct
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endodav_jax.conversion.torch_file import read_torch_file
from endodav_jax.conversion.torch_pickle import Refused, tensor_view
from endodav_jax.errors import UserError
from tests.conversion.torch_writer import Tensor, write_archive, write_pth

DATA = Path(__file__).parent / "data"  # written by PyTorch 2.13 itself


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as caught:
        read_torch_file(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def test_every_kind_of_tensor_of_a_file_written_by_pytorch():
    saved = read_torch_file(DATA / "every_kind.pth")
    assert saved["epoch"] == 3
    assert saved["size"] == (2, 3)
    assert saved["set"] == {1, 2}
    assert saved["device"] == "cuda:0"
    state = saved["model"]
    assert (state["height"], state["width"], state["use_stereo"]) == (256, 320, False)
    for name in ("float64", "float16", "bfloat16"):
        array = state[f"module.{name}"]
        assert array.dtype == np.dtype(name if name != "bfloat16" else ml_dtypes.bfloat16)
        np.testing.assert_array_equal(array.astype(np.float64), [0, 0.25, 0.5])
    for name in ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"):
        assert state[f"module.{name}"].dtype == name
        np.testing.assert_array_equal(state[f"module.{name}"], [0, 1, 2])
    np.testing.assert_array_equal(state["module.bool"], [True, False, True])
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(state["module.whole"], whole)
    np.testing.assert_array_equal(state["module.transposed"], whole.T)
    np.testing.assert_array_equal(state["module.part"], whole[1:3, ::2])
    assert np.shares_memory(state["module.whole"], state["module.part"])
    assert state["module.scalar"].shape == ()
    assert state["module.scalar"] == 7
    assert state["module.empty"].shape == (0, 5)
    np.testing.assert_array_equal(state["module.parameter"], np.arange(4, dtype=np.float32))


def test_a_modules_state_dict_written_by_pytorch():
    state = read_torch_file(DATA / "linear.pth")
    np.testing.assert_array_equal(state["weight"], np.arange(6, dtype=np.float32).reshape(3, 2))
    np.testing.assert_array_equal(state["bias"], np.arange(3, dtype=np.float32))


def test_arrays_are_views_that_cannot_be_written():
    weight = read_torch_file(DATA / "linear.pth")["weight"]
    with pytest.raises(ValueError, match="read-only"):
        weight[0] = 1


@pytest.mark.parametrize("prefix", ["archive", "video_depth_anything_vits", "a b/c"])
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_any_prefix_and_byte_order_is_read(tmp_path, prefix, byte_order):
    weight = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    path = write_pth(tmp_path / "w.pth", {"a": {"b": weight}, "n": np.int64(2)}, prefix, byte_order)
    saved = read_torch_file(path)
    np.testing.assert_array_equal(saved["a"]["b"], weight)
    assert saved["n"] == 2


@given(st.data())
def test_any_tensor_within_its_storage_is_what_numpy_makes_of_the_same_strides(data):
    storage = np.arange(data.draw(st.integers(1, 60)), dtype=np.int32)
    size = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    stride = tuple(data.draw(st.lists(st.integers(0, 20), min_size=len(size), max_size=len(size))))
    offset = data.draw(st.integers(0, 70))
    indices = offset + sum((np.indices(size)[axis] * step for axis, step in enumerate(stride)), np.zeros(size, int))
    if indices.max() < storage.size and math.prod(size) <= storage.size:
        np.testing.assert_array_equal(tensor_view(storage, offset, size, stride), storage[indices])
    else:
        with pytest.raises(Refused):
            tensor_view(storage, offset, size, stride)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((4,), (1,), 0),
        ((3,), (1,), 1),
        ((2,), (3,), 0),
        ((10**12,), (0,), 0),
        ((-1,), (1,), 0),
        ((2,), (-1,), 1),
        ((2, 1), (1,), 0),
        ((1,) * 40, (1,) * 40, 0),
        ((0,), (1,), 4),
        ((2**70,), (2**70,), 0),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, size, stride, offset):
    tensor = Tensor(np.arange(3, dtype=np.float32), offset, size, stride)
    assert "tensor of size" in refusal(write_pth(tmp_path / "w.pth", {"w": tensor}))


def test_a_storage_shorter_than_announced_is_refused(tmp_path):
    path = write_pth(tmp_path / "w.pth", {"w": np.zeros(4, np.float32)})
    with zipfile.ZipFile(path) as file:
        data = file.read("archive/data.pkl")
    assert "announced" in refusal(write_archive(path, data, {"0": bytes(12)}))
    assert "missing" in refusal(write_archive(path, data, {}))


class _Call:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self._reduced = (function, arguments)

    def __reduce__(self):
        return self._reduced


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "builtins.getattr", "builtins.__import__"])
def test_a_pickle_that_would_run_code_is_refused_by_name_and_nothing_runs(tmp_path, name, protocol):
    proof = tmp_path / "it_ran"
    command = f"open({str(proof)!r}, 'w')"
    calls = {
        "os.system": _Call(__import__("os").system, f"touch {proof}"),
        "builtins.eval": _Call(eval, command),
        "builtins.getattr": _Call(getattr, _Call(__import__, "os"), "system"),
        "builtins.__import__": _Call(__import__, "antigravity"),
    }
    data = pickle.dumps({"weight": calls[name]}, protocol)
    line = refusal(write_archive(tmp_path / "w.pth", data, {}))
    shown = {"os.system": r"(posix|nt|os)\.system"}.get(name, name.replace("builtins", "(builtins|__builtin__)"))
    assert re.search(shown, line)
    assert "nothing in it was run" in line
    assert not proof.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "namedtuple"),
        ("builtins", "bytearray"),
        ("builtins", "getattr"),
        ("numpy.core.multiarray", "scalar"),
        ("endodav_jax.conversion.torch_pickle", "_GLOBALS"),
        ("torch\x1b[31m", "x\nforged line"),
    ],
)
def test_a_global_that_is_no_tensor_is_refused_by_name(tmp_path, module, name):
    text = [bytes([0x8C, len(word)]) + word.encode() for word in (module, name)]
    data = b"\x80\x04" + text[0] + text[1] + b"\x93)R."
    line = refusal(write_archive(tmp_path / "w.pth", data, {}))
    assert ascii(f"{module}.{name}")[1:-1] in line


@pytest.mark.parametrize("state", [b"}X\x08\x00\x00\x00__code__Ns", b"N}X\x05\x00\x00\x00_callNs\x86"])
def test_a_pickle_cannot_alter_the_reader(tmp_path, state):
    data = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b."
    assert "alter" in refusal(write_archive(tmp_path / "w.pth", data, {}))
    assert read_torch_file(DATA / "linear.pth")["weight"].shape == (3, 2)


@pytest.mark.parametrize(
    ("opcodes", "instruction"),
    [
        (b"(ctorch\nSize\no.", "OBJ"),
        (b"(ios\nsystem\n.", "INST"),
        (b"\x82\x01.", "EXT1"),
        (b"ctorch\nSize\n)\x81.", "NEWOBJ"),
        (b"Pname\n.", "PERSID"),
    ],
)
def test_instructions_that_no_state_dict_needs_are_refused(tmp_path, opcodes, instruction):
    assert instruction in refusal(write_archive(tmp_path / "w.pth", b"\x80\x02" + opcodes, {}))


@pytest.mark.parametrize(
    "nest",
    [
        b")" + b"\x85" * 200_000,  # tuples
        b"N" + b"\x85" * 200_000,
        b"](" * 200 + b"e" * 200,  # lists
        b"}(" + b"N}(" * 200 + b"u" * 201,  # dicts
        b"".join(b"h%c\x85q%c" % (i, i + 1) for i in range(150)).replace(b"h\0", b")", 1),  # through the memo
    ],
)
def test_a_nest_deep_enough_to_overflow_the_stack_is_refused(tmp_path, nest):
    assert "nested more than 100 deep" in refusal(write_archive(tmp_path / "w.pth", b"\x80\x02" + nest + b".", {}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr\xff\xff\xff\xff.",  # a memo of 2^32 entries
        b"\x80\x05\x8e" + struct.pack("<Q", 1 << 60) + b"x.",  # 2^60 bytes announced
        b"\x80\x02}",
        b"\x80\x02h\x05.",
        b"\x80\x02.",
        b"\x80\x02}](]Ns.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
        b"",
        b"\x00" * 100,
    ],
)
def test_a_broken_table_of_contents_is_one_line(tmp_path, data):
    refusal(write_archive(tmp_path / "w.pth", data, {}))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_are_plain_containers(tmp_path_factory, data):
    path = write_archive(tmp_path_factory.mktemp("fuzz") / "w.pth", b"\x80\x02" + data + b".", {})
    with contextlib.suppress(UserError):
        assert _is_plain(read_torch_file(path))


def _is_plain(value) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, bytes))


def test_truncated_files_are_one_line(tmp_path):
    content = (DATA / "linear.pth").read_bytes()
    for keep in (10, len(content) // 2, len(content) - 1):
        (tmp_path / "w.pth").write_bytes(content[:keep])
        assert "truncated" in refusal(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(b"")
    assert "empty" in refusal(tmp_path / "w.pth")


def test_a_changed_byte_is_noticed(tmp_path):
    content = bytearray((DATA / "linear.pth").read_bytes())
    place = content.find(np.arange(6, dtype=np.float32).tobytes())
    content[place + 9] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    assert "data/0 is damaged" in refusal(tmp_path / "w.pth")


def test_formats_before_pytorch_1_6_say_how_to_write_the_file_again(tmp_path):
    assert "torch.save(" in refusal(DATA / "legacy.pth")
    (tmp_path / "tar.pth").write_bytes(bytes(257) + b"ustar" + bytes(250))
    assert "torch.save(" in refusal(tmp_path / "tar.pth")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (pickle.dumps({"a": 1}, 2), "bare pickle"),
        (b"\x89PNG\r\n\x1a\n", "not a PyTorch file"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, word):
    (tmp_path / "w.pth").write_bytes(content)
    assert word in refusal(tmp_path / "w.pth")


def test_zips_that_pytorch_never_writes_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\x80\x02}" + b"0" * 1_000_000 + b".")
    assert "compressed" in refusal(path)
    write_archive(path, b"\x80\x02}.", {})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "twice" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("photo.jpg", b"")
    assert "not a PyTorch file" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("jit/data.pkl", b"")
        file.writestr("jit/constants.pkl", b"")
    assert "TorchScript" in refusal(path)
