"""A file appears under its final name when it is whole, or not at all."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from endodav_jax.errors import UserError
from endodav_jax.files import ABANDONED, json_text, moved_together, sha256_of, shortened, whole_file

KILLED = """
import os, sys
from endodav_jax.files import whole_file
with whole_file(sys.argv[1]) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def test_a_finished_file_has_its_final_name_and_nothing_else_is_left(tmp_path):
    with whole_file(tmp_path / "deep" / "depth.npz") as part:
        part.write_bytes(b"whole")
        assert not (tmp_path / "deep" / "depth.npz").exists()
        assert part.suffix == ".npz"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["depth.npz"]


def test_a_file_may_be_read_by_whom_the_umask_says_whatever_its_writer_does(tmp_path):
    (tmp_path / "plain").touch()
    with whole_file(tmp_path / "private") as part:
        part.touch(mode=0o600)
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_files_of_a_folder_may_be_read_by_whom_the_umask_says(tmp_path):
    (tmp_path / "plain").touch()
    with whole_file(tmp_path / "model") as part:
        (part / "weights").mkdir(parents=True)
        for name in ("origin.safetensors", "weights/array"):
            (part / name).touch(mode=0o600)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {path.stat().st_mode for path in files} == {(tmp_path / "plain").stat().st_mode}


def test_an_interrupted_file_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half way"), whole_file(tmp_path / "depth.npz") as part:
        part.write_bytes(b"half")
        raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half way"), whole_file(tmp_path / "frames") as part:
        part.mkdir()
        (part / "000000.npy").write_bytes(b"half")
        raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass
class Figures:
    best: float
    all: tuple[float, ...]


def test_json_is_valid_whatever_the_numbers_are():
    value = {"figures": Figures(float("inf"), (1.0, float("nan"))), "map": np.array([1, np.nan]), "one": np.float32(2)}
    text = json_text(value)
    assert json.loads(text) == {"figures": {"best": None, "all": [1.0, None]}, "map": [1.0, None], "one": 2.0}
    assert text.endswith("}\n")


@pytest.mark.parametrize("letter", ["a", "\u7530", "%E7"])
def test_a_name_too_long_for_a_file_is_shortened_and_stays_its_own(tmp_path, letter):
    assert shortened("case 7") == "case 7"
    first, second = (shortened(400 * letter + end) for end in "12")
    assert first != second
    for stem in (first, second):
        with whole_file(tmp_path / f"{stem}.array_record") as part:
            part.touch()
    assert len(list(tmp_path.iterdir())) == 2


def test_an_existing_file_is_kept_without_overwrite(tmp_path):
    path = tmp_path / "depth.npz"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=r"depth\.npz: already exists; pass --overwrite"), whole_file(path, False):
        pass
    assert path.read_bytes() == b"old"


def test_a_full_disk_is_one_line_naming_the_file(tmp_path):
    with (
        pytest.raises(UserError, match=r"depth\.npz: cannot be written \(No space left on device\)"),
        whole_file(tmp_path / "depth.npz"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_a_full_disk_is_one_line_for_safetensors_too(tmp_path, monkeypatch):
    def full(*arguments):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with (
        pytest.raises(UserError, match=r"w\.safetensors: cannot be written \(No space left on device\); free space"),
        whole_file(tmp_path / "w.safetensors"),
    ):
        full()
    with (
        pytest.raises(UserError, match=r"w\.safetensors: cannot be written \(No such file or directory\)"),
        whole_file(tmp_path / "w.safetensors") as part,
    ):
        save_file({"a": np.zeros(3)}, part.parent / "nowhere" / "w.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no header")
    with pytest.raises(SafetensorError), whole_file(tmp_path / "w.safetensors"):
        load_file(tmp_path / "damaged.safetensors")  # reading is not writing


def test_a_full_disk_is_one_line_whatever_a_library_makes_of_it(tmp_path):
    def orbax():
        raise ValueError(f"RESOURCE_EXHAUSTED: Error writing ...: {os.strerror(errno.ENOSPC)} [os_error_code='28']")

    with pytest.raises(UserError, match=r"model: cannot be written \(No space left"), whole_file(tmp_path / "model"):
        orbax()
    line = "x: cannot be written (No space left on device); free space"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"), whole_file(tmp_path / "model"):
        raise UserError(line)  # of a file within


def test_two_processes_that_write_the_same_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "weights.pth"
    script = (
        "import sys; from endodav_jax.files import whole_file\nwith whole_file(sys.argv[1]) as part:\n"
        " part.write_bytes(b'other'); print(part, flush=True); input(); part.write_bytes(b'whole other')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        theirs = other.stdout.readline().strip()
        with whole_file(path) as part:
            part.write_bytes(b"whole own")
            assert sorted(str(place) for place in tmp_path.iterdir()) == sorted([theirs, str(part)])
        assert path.read_bytes() == b"whole own"
        other.communicate("\n")
    assert path.read_bytes() == b"whole other"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "depth.npz"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    elsewhere = tmp_path / "depth.00000000-1.part.npz"  # of another machine
    elsewhere.write_bytes(b"half")
    other = tmp_path / "depth.of.part.npz"  # of somebody else
    other.write_bytes(b"theirs")
    with whole_file(path) as part:
        part.write_bytes(b"whole")
    assert not left.exists()
    assert elsewhere.exists()
    os.utime(elsewhere, (0, elsewhere.stat().st_mtime - ABANDONED - 1))
    with whole_file(path) as part:
        part.write_bytes(b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, other])


KILLED_BEFORE_THE_END = """
import os, sys
from pathlib import Path
from endodav_jax.files import moved_together
with moved_together(Path(sys.argv[1]), "clip", "meta.json") as staging:
    (staging / "mesh.ply").write_bytes(b"whole")
    os.kill(os.getpid(), 9)
"""


def test_files_that_belong_together_get_their_names_together_and_the_telling_one_last(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED_BEFORE_THE_END, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b).name), replace(a, b)))
    with moved_together(tmp_path, "clip", "meta.json") as staging:
        assert not left.exists()
        (staging / "piece_02").mkdir()
        for name in ("meta.json", "mesh.ply", "piece_02/mesh.ply"):
            (staging / name).write_bytes(name.encode())
        assert list(tmp_path.iterdir()) == [staging]
    assert moved == ["mesh.ply", "mesh.ply", "meta.json"]
    assert {path.name for path in tmp_path.iterdir()} == {"meta.json", "mesh.ply", "piece_02"}
    with pytest.raises(RuntimeError), moved_together(tmp_path, "clip", "meta.json") as staging:
        (staging / "meta.json").write_bytes(b"new")
        raise RuntimeError
    assert (tmp_path / "meta.json").read_bytes() == b"meta.json"
    assert {path.name for path in tmp_path.iterdir()} == {"meta.json", "mesh.ply", "piece_02"}


def test_permissions_are_found_without_setting_the_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)  # it is the process's own: other threads would write with it
    program = "import os; os.umask = None; import endodav_jax.files"
    subprocess.run([sys.executable, "-c", program], check=True)
    with whole_file(tmp_path / "private") as part:
        part.touch(mode=0o600)
    (tmp_path / "plain").touch()
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"private", "plain"}


def test_a_cache_keeps_what_another_process_has_written_meanwhile(tmp_path):
    with whole_file(tmp_path / "parts", keep=True) as part:
        part.mkdir()
        (part / "second").touch()
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "first").touch()
    assert [place.name for place in (tmp_path / "parts").iterdir()] == ["first"]
    assert [place.name for place in tmp_path.iterdir()] == ["parts"]


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_folder_stays_as_it_was_if_its_successor_cannot_take_its_name(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    real = os.replace

    def replace(source, target):
        if Path(target).name == "model" and "part" in Path(source).name and "before" not in Path(source).name:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "model") as part:
        part.mkdir()
        (part / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]


def test_a_folder_takes_the_place_of_a_file(tmp_path):
    (tmp_path / "model").touch()
    with whole_file(tmp_path / "model") as part:
        part.mkdir()
    assert [(path.name, path.is_dir()) for path in tmp_path.rglob("*")] == [("model", True)]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("old", "new"):
        with whole_file(tmp_path / "model") as part:
            part.mkdir()
            (part / name).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]
