"""A split is found where it was prepared, or prepared from a download, and what is missing is said."""

import pytest

from endodav_jax.cli import main
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.obtain import obtain_split
from endodav_jax.errors import EXIT_OK, UserError
from tests.data.fixtures import write_hamlyn
from tests.data.scene import render_truth

SEQUENCE = "rectified23"  # of both lists


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hamlyn")
    write_hamlyn(folder / SEQUENCE, render_truth(3))
    return folder


def prepare(download, out, split, *options):
    options = ["--split", split, "--on-missing", "skip", *options]
    assert main(["prepare", "hamlyn", str(download), str(out), *options]) == EXIT_OK


def test_a_download_is_prepared_once_and_what_it_lacks_is_said(download, tmp_path):
    obtained = obtain_split("hamlyn", download, "validation", tmp_path, quiet=True)
    assert EvaluationVideos(obtained.folder, "validation").sequences == (SEQUENCE,)
    assert len(obtained.notices) == 4
    assert "rectified24" in obtained.notices[0]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert obtain_split("hamlyn", download, "validation", tmp_path, quiet=True) == obtained
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_prepared_split_is_found_among_others(download, tmp_path):
    for split in ("test", "validation"):
        prepare(download, tmp_path / "prepared", split)
    obtained = obtain_split("hamlyn", tmp_path / "prepared", "validation", tmp_path / "unused")
    assert obtained.folder.parent.name == "validation-full"
    assert not (tmp_path / "unused").exists()


def test_a_split_that_was_not_prepared_is_named_with_those_that_were(download, tmp_path):
    prepare(download, tmp_path, "validation")
    with pytest.raises(UserError, match="no split 'test' was prepared, only validation"):
        obtain_split("hamlyn", tmp_path, "test", tmp_path / "unused")


def test_a_split_prepared_twice_is_left_to_the_user_to_choose(download, tmp_path):
    for options in ([], ["--size", "24x32"]):
        prepare(download, tmp_path, "validation", *options)
    with pytest.raises(UserError, match="several data sets have a split 'validation'"):
        obtain_split("hamlyn", tmp_path, "validation", tmp_path / "unused")
