"""`endodav verify`: what is whole, missing or odd, in downloads and in what is prepared."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from endodav_jax.cli import main
from endodav_jax.data.contact_sheet import contact_row
from endodav_jax.data.sources.scared import ScaredSource
from endodav_jax.data.verify import looks_stacked, table, verify_prepared, verify_source
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USER_ERROR, UserError
from endodav_jax.geometry.poses import inverse_rigid
from tests.data import fixtures
from tests.data.scene import render_truth
from tests.data.tiny_source import TinySource, prepare_tiny

SHAPE = (96, 128)


@pytest.fixture(scope="module")
def truth():
    return render_truth(24, *SHAPE)


class Rendered(TinySource):
    """Frames of the rendered scene, changed by `change`."""

    def __init__(self, truth, change=lambda frame: frame, **fields):
        super().__init__({"clip": len(truth)}, shape=SHAPE, **fields)
        self._truth, self._change = truth, change

    def frame(self, sequence, index):
        return self._change(dataclasses.replace(self._truth[index], sequence=sequence))


def report_of(source, **options):
    (report,) = verify_source(source, ["train"], **options)
    return report


def test_a_good_copy_is_whole_and_its_poses_agree_with_the_pictures(truth):
    report = report_of(Rendered(truth))
    assert (report.verdict, report.pose, report.notes) == ("whole", "agrees", [])
    low, median, high = report.depth_mm
    assert 30 < low < median < high < 150
    assert report.valid == 1.0
    assert len(report.samples) == 4
    assert report.samples[-1].frame_index == 23


def test_poses_that_are_inside_out_are_noticed(truth):
    def turned(frame):
        return dataclasses.replace(frame, cam_from_world=inverse_rigid(frame.cam_from_world))

    report = report_of(Rendered(truth, turned))
    assert (report.verdict, report.pose) == ("odd", "reversed")


def test_depth_in_metres_is_noticed(truth):
    report = report_of(Rendered(truth, lambda f: dataclasses.replace(f, depth_mm=f.depth_mm / 1000)))
    assert report.verdict == "odd"
    assert "is not that of an endoscope in mm" in report.notes[0]


def test_stacked_views_are_noticed_whatever_their_shape(truth):
    picture = truth[0].frame
    assert not looks_stacked(picture)
    assert looks_stacked(np.concatenate([picture, np.roll(picture, 2, axis=1)], axis=0))
    squeezed = np.concatenate([picture[::2], np.roll(picture[::2], 2, axis=1)], axis=0)
    assert looks_stacked(squeezed)
    assert looks_stacked(np.concatenate([picture[:, ::2], np.roll(picture[:, ::2], 1, axis=1)], axis=1))
    report = report_of(
        Rendered(truth, lambda f: dataclasses.replace(f, frame=np.concatenate([f.frame[::2], f.frame[::2]])))
    )
    assert "frames look like two stacked views; cut out the left one" in report.notes


def test_every_bad_frame_is_named_when_all_are_decoded(truth):
    source = Rendered(truth, bad={"clip": (1, 9, 22)})
    report = report_of(source, every_frame=True)
    assert report.verdict == "odd"
    assert [note for note in report.notes if "truncated PNG" in note] == [
        f"clip, frame {i}: truncated PNG" for i in (1, 9, 22)
    ]
    assert len(report_of(source).notes) < 3


def test_missing_and_odd_sequences_of_a_download_are_told_apart(truth, tmp_path):
    fixtures.write_scared_prepared(tmp_path / "train/dataset7/keyframe4", truth[:3])
    fixtures.write_scared_prepared(tmp_path / "train/dataset4/keyframe1", truth[:3])
    reports = {report.sequence: report for report in verify_source(ScaredSource(tmp_path), ["train"])}
    assert len(reports) == 24
    assert sum(report.verdict == "missing" for report in reports.values()) == 22
    assert any("3 frames instead of 2197" in note for note in reports["train/dataset7/keyframe4"].notes)
    assert any("known to be off" in note for note in reports["train/dataset4/keyframe1"].notes)
    lines = list(table(reports.values()))
    assert lines[0].startswith("sequence")
    row = next(line for line in lines if line.startswith("train/dataset7/keyframe4"))
    assert row.split()[1:5] == ["odd", "3", "of", "2197"]


def test_a_prepared_data_set_is_checked_by_its_files_and_records(truth, tmp_path):
    folder = prepare_tiny(tmp_path, Rendered(truth, bad={"clip": (5,)}), on_bad_frame="skip")
    (report,) = verify_prepared(folder)
    assert report.sequence == "train: clip"
    assert (report.frames, report.expected, report.pose) == (23, 24, "agrees")
    assert report.notes == ["left out when it was prepared: clip, frame 5: truncated PNG"]
    shard = next(folder.glob("*.array_record*"))
    os.truncate(shard, shard.stat().st_size - 100)
    with pytest.raises(UserError, match="prepare the data set again"):
        list(verify_prepared(folder))


def test_every_data_set_below_a_folder_is_checked(tmp_path):
    source = TinySource({"a": 3})
    one = prepare_tiny(tmp_path, source)
    assert [report.sequence for report in verify_prepared(tmp_path)] == ["train: a"]
    two = prepare_tiny(tmp_path, source, splits=("train", "test"), name="again")
    reports = sorted(verify_prepared(tmp_path), key=lambda report: report.notes[0])
    assert [report.sequence for report in reports if f"in {one}" in report.notes] == ["train: a"]
    assert [report.sequence for report in reports if f"in {two}" in report.notes] == ["train: a"]
    (report,) = verify_prepared(tmp_path, ["test"])
    assert report.sequence == "test: a"
    with pytest.raises(UserError, match="no split 'eval' was prepared, only test, train"):
        list(verify_prepared(tmp_path, ["train", "eval"]))


def test_the_command_prints_a_table_draws_a_sheet_and_says_how_it_went(truth, tmp_path, capsys):
    fixtures.write_scared_download(tmp_path / "raw/dataset_7/keyframe_4", truth)
    sheet = tmp_path / "sheet.png"
    arguments = ["verify", "scared", str(tmp_path / "raw"), "--split", "train", "--contact-sheet", str(sheet)]
    assert main([*arguments, "--samples", "3"]) == EXIT_SOME_FAILED
    assert capsys.readouterr().out.strip().splitlines()[-1] == "0 whole, 1 odd, 23 missing"
    with Image.open(sheet) as picture:
        assert picture.width == 6 * 162
    whole = prepare_tiny(tmp_path / "whole", Rendered(truth))
    assert main(["verify", "prepared", str(whole)]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.strip().splitlines()[-1] == "1 whole, 0 odd, 0 missing"
    assert "true px" in out  # depth and poses are known: so is the signal in truth
    assert main(["verify", "prepared", str(tmp_path / "nowhere")]) == EXIT_USER_ERROR
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--samples", "0"], "--samples 0: must be at least 1"),
        (["--samples", "-3"], "--samples -3: must be at least 1"),
        (["--contact-sheet", "x.foo"], "--contact-sheet x.foo: no picture can be written by this name"),
        (["--contact-sheet", "sheet"], "--contact-sheet sheet: no picture can be written by this name"),
    ],
)
def test_options_are_checked_before_anything_is_looked_at(truth, tmp_path, capsys, words, told):
    whole = prepare_tiny(tmp_path / "whole", Rendered(truth))
    capsys.readouterr()
    assert main(["verify", "prepared", str(whole), *words]) == EXIT_USER_ERROR
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err
    assert said.err.count("\n") == 1


def test_a_recording_without_a_camera_is_whole_which_needs_none(truth, tmp_path, capsys):
    for frame in truth:
        fixtures.write_png(tmp_path / "my_videos/case" / f"{frame.frame_index:04d}.png", frame.frame)
    assert main(["verify", "frames", str(tmp_path / "my_videos")]) == EXIT_OK
    out = capsys.readouterr().out
    assert "    no camera is known; its intrinsics are a guess" in out
    assert out.splitlines()[-1] == "1 whole, 0 odd, 0 missing"


def test_frames_of_one_pixel_are_odd_and_no_error(tmp_path, capsys):
    for number in range(4):
        fixtures.write_png(tmp_path / "dot" / f"{number}.png", np.full((1, 1, 3), number, np.uint8))
    assert main(["verify", "frames", str(tmp_path / "dot")]) == EXIT_SOME_FAILED
    assert "frames of 1x1 pixels are too small" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["c3vd", "simcol3d", "endonerf"])
@pytest.mark.parametrize("command", ["verify", "prepare"])
def test_a_place_with_nothing_of_a_kind_is_named_with_what_to_give(tmp_path, capsys, kind, command):
    words = [str(tmp_path)] + ([str(tmp_path / "out")] if command == "prepare" else [])
    assert main([command, kind, *words, "--split", "found"]) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert f"{tmp_path}: holds no sequence of {kind}; give the " in error
    assert error.count("\n") == 1


def test_a_contact_row_shows_frames_and_depth_side_by_side(truth):
    row = contact_row("a title", truth[:2])
    assert row.shape == (128 + 16 + 2, 4 * 162, 3)
    assert row.dtype == np.uint8
    picture, depth = row[30:100, 10:150], row[30:100, 172:312]
    assert abs(picture.mean() - truth[0].frame.mean()) < 15
    # Near is bright: the sphere in front of the plane.
    near = truth[0].depth_mm.argmin()
    y, x = np.unravel_index(near, SHAPE)
    scale = 160 / SHAPE[1]
    lit = row[16 + int(y * scale), 162 + int(x * scale)]
    assert lit.astype(int).sum() > np.median(depth.astype(int).sum(axis=-1))
