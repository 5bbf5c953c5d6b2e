"""Checkpoint folders come back as they were written, and damage of any kind is one line."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax import __version__
from endodav_jax.checkpoints import Card, save_model
from endodav_jax.checkpoints.card import licence_of
from endodav_jax.checkpoints.store import ORIGIN_NAME, load_checkpoint, load_origin
from endodav_jax.errors import UserError
from endodav_jax.models import DepthModelConfig

CONFIG = DepthModelConfig.endodac("vits", image_shape=(126, 154))
CARD = Card("a network", "MIT", {"w.pth": "0" * 64}, ("one note", "another"), {"height": 256, "use_stereo": False})
PARAMS = {
    "depth": {
        "blocks": {i: {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3) + i} for i in range(12)},
        "scale": np.float32(3).reshape(()),
        "none": {},
    },
    "pose": {"stem": {"bias": np.arange(300_000, dtype=np.float32)}},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    save_model(tmp_path / "network", CONFIG, PARAMS, CARD)
    return tmp_path / "network"


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same_trees(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_what_is_written_comes_back(folder):
    config, params, card = load_checkpoint(folder)
    assert config == CONFIG
    assert card == CARD
    assert_same_trees(params, PARAMS)


def test_arrays_on_devices_come_back_as_host_arrays(tmp_path):
    save_model(tmp_path / "network", CONFIG, jax.tree.map(jnp.asarray, PARAMS), CARD)
    assert_same_trees(load_checkpoint(tmp_path / "network")[1], PARAMS)


def test_arrays_spread_over_several_devices_are_read_where_there_is_one(tmp_path):
    program = f"""
import jax
jax.config.update("jax_num_cpu_devices", 4)
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from endodav_jax.checkpoints import Card, save_model
from endodav_jax.models import DepthModelConfig
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
kernel = jax.device_put(np.arange(8, dtype=np.float32), NamedSharding(mesh, PartitionSpec("data")))
save_model({str(tmp_path / "network")!r}, DepthModelConfig(), {{"depth": {{"kernel": kernel}}}}, Card("x", "y"))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    params = load_checkpoint(tmp_path / "network")[1]
    assert_same_trees(params, {"depth": {"kernel": np.arange(8, dtype=np.float32)}})


def test_the_card_says_what_the_weights_are(folder):
    card = json.loads((folder / "card.json").read_text())
    assert card["package_version"] == __version__
    assert card["what"] == "a network"
    assert card["licence"] == "MIT"
    assert card["sources"] == {"w.pth": "0" * 64}
    assert card["model"]["preset"] == "vits"
    assert card["model"]["adapter"] == "dvlora"
    assert card["parameters"] == {"depth": 73, "pose": 300_000}


def test_nothing_is_printed(tmp_path, capfd):
    save_model(tmp_path / "network", CONFIG, PARAMS, CARD)
    load_checkpoint(tmp_path / "network")
    assert capfd.readouterr() == ("", "")


def weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "weights").rglob("*") if path.is_file())


def test_a_changed_bit_in_any_file_is_noticed(folder):
    for path in weight_files(folder):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert f"{path}: differs from what was written" in refusal(folder)
        path.write_bytes(content)
    assert load_checkpoint(folder)[2] == CARD


def test_a_missing_file_is_named(folder):
    path = max(weight_files(folder), key=lambda path: path.stat().st_size)
    path.unlink()
    assert f"{path}: missing" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "card.json: is damaged"),
        ("{}", "card.json: is damaged"),
        ("[]", "card.json: is damaged"),
        ("[" * 100_000, "card.json: is damaged"),
        ('{"format": 1, "model": {"preset": "vits"}}', "card.json: is damaged"),
        ('{"format": 99, "package_version": "7.0"}', "newer version \\(7.0\\)"),
    ],
)
def test_a_damaged_card_is_one_line(folder, content, word):
    (folder / "card.json").write_text(content)
    with pytest.raises(UserError, match=word):
        load_checkpoint(folder)


def test_a_damaged_origin_is_one_line(tmp_path):
    (tmp_path / ORIGIN_NAME).write_bytes(b"\x09")
    with pytest.raises(UserError, match=f"{ORIGIN_NAME}: is damaged; convert or copy"):
        load_origin(tmp_path)


def test_a_card_that_contradicts_itself_is_one_line(folder):
    card = json.loads((folder / "card.json").read_text())
    card["model"]["preset"] = "vitx"
    (folder / "card.json").write_text(json.dumps(card))
    assert "vitx" in refusal(folder)


def test_a_tree_that_orbax_cannot_read_is_one_line(folder, capfd):
    card = json.loads((folder / "card.json").read_text())
    for path in weight_files(folder):
        path.unlink()
    card["files"] = {}
    (folder / "card.json").write_text(json.dumps(card))
    assert "cannot be restored" in refusal(folder)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_checkpoint_is_said(tmp_path):
    assert "no such checkpoint" in refusal(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "no card.json" in refusal(tmp_path / "empty")


def test_a_checkpoint_is_replaced_only_when_asked(folder):
    with pytest.raises(UserError, match="--overwrite"):
        save_model(folder, CONFIG, PARAMS, CARD)
    other = {"depth": {"bias": np.ones(3, np.float32)}}
    save_model(folder, CONFIG, other, CARD, overwrite=True)
    assert_same_trees(load_checkpoint(folder)[1], other)
    assert [path.name for path in folder.parent.iterdir()] == ["network"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    with pytest.raises(UserError, match="not a checkpoint"):
        save_model(tmp_path / "thesis", CONFIG, PARAMS, CARD, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "precious"


def test_a_run_that_is_killed_while_writing_leaves_nothing_under_the_name(tmp_path):
    program = f"""
import os, signal
from endodav_jax.checkpoints import store
from tests.checkpoints.test_store import CARD, CONFIG, PARAMS
store.sha256_of = lambda path: os.kill(os.getpid(), signal.SIGKILL)
store.save_model({str(tmp_path / "network")!r}, CONFIG, PARAMS, CARD)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "network").exists()
    save_model(tmp_path / "network", CONFIG, PARAMS, CARD)
    assert_same_trees(load_checkpoint(tmp_path / "network")[1], PARAMS)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot create this folder \(.*file is a file\)"):
        save_model(tmp_path / "file" / "network", CONFIG, PARAMS, CARD)


@pytest.mark.parametrize(
    ("program", "preset", "words"),
    [
        ("vda", "vits", "Apache-2.0"),
        ("vda", "vitb", "CC-BY-NC-4.0"),
        ("vda", "vitl", "CC-BY-NC-4.0"),
        ("endodav", "vitb", "MIT; .*CC-BY-NC-4.0"),
        ("endodac", "vitb", "without a licence"),
        ("depth_anything", "vits", "Apache-2.0"),
        ("resnet", "", "BSD"),
    ],
)
def test_weights_keep_the_licence_of_their_program_and_size(program, preset, words):
    assert re.search(words, licence_of(program, preset))
