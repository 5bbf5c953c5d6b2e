"""A file appears under its final name when it is whole, or not at all."""

import pytest

from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of, whole_file


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


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
