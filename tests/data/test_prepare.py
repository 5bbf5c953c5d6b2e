"""`endodav prepare`: from bytes on disk in every raw layout to training batches and evaluation frames."""

import dataclasses
import re
import shutil
import tempfile
import types
from pathlib import Path

import docstring_parser
import numpy as np
import pytest

from endodav_jax.cli import main
from endodav_jax.data.config import DataConfig
from endodav_jax.data.contract import check_batch, check_evaluation_frame
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.kinds import KINDS, options_type, source_class
from endodav_jax.data.pipeline import ClipBatches
from endodav_jax.data.prepare import Form, build, find_sequences, forms_of
from endodav_jax.data.prepared import PreparedSplit, find_split, sequences_without_camera
from endodav_jax.data.sources.c3vd import NATIVE_SIZE, PINHOLE
from endodav_jax.data.verify import verify_prepared
from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR, UserError
from endodav_jax.fields import size
from endodav_jax.geometry.pixels import resized_intrinsics
from tests.data import fixtures
from tests.data.scene import render_frame, render_truth
from tests.data.tiny_source import TinySource

FRAMES = 8
SHAPE = (48, 64)


def truth_of(kind: str):
    """Frames as the kind's camera sees them."""
    frames = render_truth(FRAMES, *SHAPE)
    if kind != "c3vd":
        return frames
    camera = resized_intrinsics(PINHOLE, NATIVE_SIZE, SHAPE)
    seen = [render_frame(f.cam_from_world, camera, *SHAPE, frame_index=f.frame_index, sequence="x") for f in frames]
    # Its depth ends at 100 mm.
    return [dataclasses.replace(f, depth_mm=np.where(f.depth_mm < 100, f.depth_mm, np.float32(0))) for f in seen]


def write_frames(root: Path, truth) -> None:
    for frame in truth:
        fixtures.write_png(root / "clip" / f"{frame.frame_index:06d}.png", frame.frame)


# kind -> writer, split, sequence, options, and how far colour (mean levels), depth (mm) may be off; None: has none
LAYOUTS = {
    "scared": (
        lambda root, truth: fixtures.write_scared_download(root / "dataset_7/keyframe_4", truth),
        "train", "train/dataset7/keyframe4", [], 0, 1e-6,
    ),
    "hamlyn": (
        lambda root, truth: fixtures.write_hamlyn(root / "rectified04", truth), "test", "rectified04", [], 3, 0.501,
    ),
    "c3vd": (
        lambda root, truth: fixtures.write_c3vd(root / "trans_t1_a", truth), "all", "trans_t1_a", [], 0, 100 / 65535,
    ),
    "simcol3d": (
        lambda root, truth: fixtures.write_simcol3d(root / "SyntheticColon_I/Frames_S1", truth),
        "found", "SyntheticColon_I/Frames_S1", [], 0, 200 / 65280,
    ),
    "endonerf": (
        lambda root, truth: fixtures.write_endonerf(
            root / "pulling_soft_tissues", truth, [np.zeros(SHAPE, bool)] * len(truth)
        ),
        "found", "pulling_soft_tissues", [], 0, 0.501,
    ),
    "frames": (write_frames, "train", "clip", ["--intrinsics", "64,64,30,20"], 0, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
def test_bytes_on_disk_become_batches_and_videos(kind, tmp_path, capsys):
    write, split, sequence, options, colour, depth = LAYOUTS[kind]
    truth = truth_of(kind)
    write(tmp_path / "raw", truth)
    command = ["prepare", kind, str(tmp_path / "raw"), str(tmp_path / "out"), "--split", split, "--quiet"]
    assert main([*command, "--full-size", "--only", sequence, "--on-missing", "skip", *options]) == EXIT_OK
    assert f"1 sequences, {FRAMES} frames" in capsys.readouterr().out

    frames = list(EvaluationVideos(tmp_path / "out", split).frames(sequence))
    assert len(frames) == FRAMES
    for frame, want in zip(frames, truth, strict=True):
        check_evaluation_frame(frame, ranges=True)
        assert frame.frame_index == want.frame_index
        assert np.abs(frame.frame.astype(int) - want.frame).mean() <= colour
        if depth is None:
            assert frame.depth_mm is None
        else:
            np.testing.assert_allclose(frame.depth_mm, want.depth_mm, rtol=0, atol=depth)

    config = DataConfig(path=str(tmp_path / "out"), split=split, clip_length=4, ground_truth=True, threads=1)
    with ClipBatches(config, seed=0) as batches:
        batch = next(batches)
    check_batch(batch, ranges=True)
    mirrored = batch["intrinsics"][0, 2] != np.float32(frames[0].intrinsics[2])
    for i, index in enumerate(batch["frame_index"][0]):
        shown = batch["frames"][0, i][:, ::-1] if mirrored else batch["frames"][0, i]
        np.testing.assert_array_equal(shown, frames[index].frame)


def test_the_phantom_becomes_batches(tmp_path):
    command = ["prepare", "phantom", "colon", str(tmp_path), "--split", "train", "--sequences", "1", "--quiet"]
    assert main([*command, "--frames", "8", "--height", "64", "--width", "80"]) == EXIT_OK
    config = DataConfig(path=str(tmp_path), clip_length=4, mirror_probability=0.0, ground_truth=True)
    with ClipBatches(config, seed=0) as batches:
        batch = next(batches)
    check_batch(batch, ranges=True)
    truth = list(source_class("phantom")("colon", sequences=1, frames=8, height=64, width=80).read("colon_s0_0000"))
    for i, index in enumerate(batch["frame_index"][0]):
        np.testing.assert_array_equal(batch["frames"][0, i], truth[index].frame)
        np.testing.assert_array_equal(batch["depth_mm"][0, i], truth[index].depth_mm)


def test_splits_to_train_on_are_small_and_quick_others_full_and_compact():
    forms = forms_of(TinySource({"a": 3}))
    assert forms == [Form(("train",), (256, 320), "fast"), Form(("test",), None, "compact")]
    assert [form.name for form in forms] == ["train-256x320", "test-full"]
    assert forms_of(TinySource({"a": 3}), ["test"], (8, 8)) == [Form(("test",), (8, 8), "compact")]
    assert forms_of(TinySource({"a": 3}), ["train"], full_size=True) == [Form(("train",), None, "fast")]
    with pytest.raises(UserError, match="tiny: no split 'val'; choose from train, test"):
        forms_of(TinySource({"a": 3}), ["val"])


class Incomplete(TinySource):
    def sequences(self, split):
        return ["a", "gone", "lost"] if split == "train" else ["gone"]


def test_missing_sequences_are_named_or_left_out():
    source = Incomplete({"a": 3})
    with pytest.raises(UserError, match=r"gone: not in this copy \(and 1 more sequences are missing\); build"):
        find_sequences(source, ["train"])
    with pytest.raises(UserError, match=r"gone: not in this copy$"):  # there are no others
        find_sequences(source, ["test"])
    found, infos, missing = find_sequences(source, ["train"], skip_missing=True)
    assert found == {"train": ["a"]}
    assert list(infos) == ["a"]
    assert missing == ["gone: not in this copy", "lost: not in this copy"]
    assert find_sequences(source, ["train"], ["a"])[0] == {"train": ["a"]}
    with pytest.raises(UserError, match="no sequence of split 'test' was found"):
        find_sequences(source, ["test"], skip_missing=True)
    with pytest.raises(UserError, match="no sequence of split 'train' matches --only z"):
        find_sequences(source, ["train"], ["z"])


def build_tiny(out: Path, **options) -> Path:
    source = TinySource({"a": 3, "b": 2})
    sequences, infos, _ = find_sequences(source, ["train"])
    form = options.pop("form", Form(("train",), None, "fast"))
    return build("frames", source, form, sequences, infos, out, settings={}, quiet=True, **options)


def test_a_finished_data_set_is_left_alone_unless_it_is_to_be_replaced(tmp_path):
    folder = build_tiny(tmp_path)
    stamp = next(folder.glob("*.array_record*")).stat().st_mtime_ns
    assert build_tiny(tmp_path) == folder
    assert next(folder.glob("*.array_record*")).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="already exists with other settings; pass --overwrite"):
        build_tiny(tmp_path, on_bad_frame="skip")
    build_tiny(tmp_path, on_bad_frame="skip", overwrite=True)
    assert PreparedSplit.open(folder, "train").lengths == (3, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames"]


def test_a_disk_that_is_too_small_is_noticed_before_hours_are_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"needs about \d+\.\d [kM]B, \d\.\d kB are free"):
        build_tiny(tmp_path)
    assert not list(tmp_path.glob("**/*.array_record*"))


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot create this folder"):
        build_tiny(tmp_path / "file")


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_fewer_than_one_process_is_refused(tmp_path, capsys, workers):
    command = ["prepare", "phantom", "organ", str(tmp_path / "out"), "--workers", workers]
    assert main(command) == EXIT_USER_ERROR
    assert capsys.readouterr().err.splitlines() == [f"endodav prepare: --workers {workers}: must be at least 1"]
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_in_the_folder_of_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write_frames(tmp_path / "raw", render_truth(2, *SHAPE))
    assert main(["prepare", "frames", str(tmp_path / "raw"), str(tmp_path / "out"), "--quiet"]) == EXIT_OK
    assert not list((tmp_path / "temporary").iterdir())


def test_a_bad_frame_is_one_line_of_the_command_or_left_out_and_counted(tmp_path, capsys):
    truth = render_truth(6, *SHAPE)
    folder = fixtures.write_scared_prepared(tmp_path / "raw/train/dataset7/keyframe4", truth)
    fixtures.truncate(folder / "data/left/0000000004.png")
    command = ["prepare", "scared", str(tmp_path / "raw"), str(tmp_path / "out"), "--split", "train", "--quiet"]
    command += ["--only", "*dataset7/keyframe4", "--size", "24x32"]
    assert main(command) == EXIT_USER_ERROR
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("endodav prepare: train/dataset7/keyframe4, frame 3: ")
    assert main([*command, "--on-bad-frame", "skip", "--overwrite"]) == EXIT_OK
    assert "5 frames" in (out := capsys.readouterr().out)
    assert "1 bad frames skipped" in out
    assert PreparedSplit.open(tmp_path / "out", "train").skipped[0].startswith("train/dataset7/keyframe4, frame 3: ")


def test_a_camera_that_is_not_known_is_said_and_kept_with_the_data(tmp_path, capsys):
    write_frames(tmp_path / "raw", render_truth(2, *SHAPE))
    command = ["prepare", "frames", str(tmp_path / "raw"), str(tmp_path / "out"), "--quiet", "--split", "train"]
    assert main(command) == EXIT_OK
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clip: no camera is known, so the intrinsics are a guess; add the camera")
    folder = find_split(tmp_path / "out", "train")
    assert sequences_without_camera(folder, "train") == ["clip"]
    (report,) = verify_prepared(folder, ["train"])
    assert any("its intrinsics are a guess" in note for note in report.notes)
    assert main([*command, "--intrinsics", "64,64,30,20", "--overwrite"]) == EXIT_OK
    assert capsys.readouterr().err == ""
    assert sequences_without_camera(folder, "train") == []


@pytest.mark.parametrize(
    ("split", "cure"), [("all", "add it: endodav prepare ... --split all"), ("test", "only train; name train")]
)
def test_a_split_that_is_missing_is_to_be_added_only_if_the_kind_has_it(tmp_path, split, cure):
    write_frames(tmp_path / "raw", render_truth(2, *SHAPE))
    command = ["prepare", "frames", str(tmp_path / "raw"), str(tmp_path / "out"), "--quiet", "--split", "train"]
    assert main(command) == EXIT_OK
    with pytest.raises(UserError, match=re.escape(cure)):
        find_split(tmp_path / "out", split)


def test_every_kind_can_be_built_and_documents_its_options():
    for kind in KINDS:
        assert source_class(kind).splits
        documented = {parameter.arg_name for parameter in docstring_parser.parse(options_type(kind).__doc__).params}
        assert {field.name for field in dataclasses.fields(options_type(kind))} <= documented, kind
    with pytest.raises(UserError, match="kitti: no kind of data; choose one of scared"):
        source_class("kitti")


def test_help_lists_every_option_of_a_kind(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "scared", "--help"])
    shown = capsys.readouterr().out
    assert "--intrinsics {frame,constant}" in shown
    assert "--on-bad-frame {error,skip}" in shown


def test_a_size_is_height_and_width():
    assert size("256x320") == (256, 320)
    for text in ("256", "0x10", "axb"):
        with pytest.raises(ValueError, match="is not HEIGHTxWIDTH"):
            size(text)
