"""SCARED in every layout, from bytes on disk to values."""

import dataclasses
import json
import shutil
import tempfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import tifffile

from endodav_jax.data.sources.decode import read_z_map
from endodav_jax.data.sources.scared import ScaredSource
from endodav_jax.errors import UserError
from tests.data import fixtures
from tests.data.scene import render_truth
from tests.data.sources.compare import assert_frames

NAME = "train/dataset7/keyframe4"
H264 = 3.0  # mean levels of error that 4:2:0 H.264 at crf 6 may leave at 64x48 (2.4 measured)


@pytest.fixture(scope="module")
def truth():
    return render_truth(6)


LAYOUTS = {
    "download": lambda root, truth: fixtures.write_scared_download(root / "dataset_7/keyframe_4", truth),
    "download below its own name": lambda root, truth: fixtures.write_scared_download(
        root / "dataset_7/dataset_7/keyframe_4", truth
    ),
    "download unpacked": lambda root, truth: fixtures.write_scared_download(
        root / "train/dataset_7/keyframe_4", truth, unpacked=True
    ),
    "shuffled archives": lambda root, truth: fixtures.write_scared_download(
        root / "dataset_7/keyframe_4", truth, order=[3, 5, 0, 1, 4, 2]
    ),
    "EndoDAV": lambda root, truth: fixtures.write_scared_prepared(root / "train/dataset7/keyframe4", truth),
    "images from 0": lambda root, truth: fixtures.write_scared_prepared(
        root / "train/dataset7/keyframe4", truth, first_image=0
    ),
    "AF-SfMLearner": lambda root, truth: fixtures.write_scared_af(root / "dataset7/keyframe4", truth),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_truth(layout, truth, tmp_path):
    LAYOUTS[layout](tmp_path, truth)
    source = ScaredSource(tmp_path)
    assert_frames(source.read(NAME), truth, sequence=NAME, intrinsics=1e-6)
    info = source.describe(NAME)
    assert (info.frames, info.height, info.width) == (6, 48, 64)
    assert (info.has_depth, info.has_pose, info.has_intrinsics, info.pose_frames) == (True, True, True, 6)
    assert "6 frames instead of 2197" in info.odd


def test_the_published_kind_of_video_is_the_upper_view_within_its_loss(truth, tmp_path):
    fixtures.write_scared_download(tmp_path / "dataset_7/keyframe_4", truth, lossless=False)
    assert_frames(ScaredSource(tmp_path).read(NAME), truth, sequence=NAME, colour=H264, intrinsics=1e-6)


@pytest.mark.parametrize("prefix", ["", "dataset_7/"])
def test_the_zip_file_is_read_as_it_is(prefix, truth, tmp_path):
    fixtures.write_scared_download(tmp_path / "raw/keyframe_4", truth)
    fixtures.zip_folder(tmp_path / "dataset_7.zip", tmp_path / "raw", prefix=prefix)
    shutil.rmtree(tmp_path / "raw")
    source = ScaredSource(tmp_path)
    assert source.describe(NAME).layout == "download (zip)"
    assert_frames(source.read(NAME), truth, sequence=NAME, intrinsics=1e-6)
    assert_frames(ScaredSource(tmp_path / "dataset_7.zip").read(NAME), truth, sequence=NAME, intrinsics=1e-6)


def test_names_with_and_without_underscores_and_prefix_are_one_sequence(truth, tmp_path):
    LAYOUTS["EndoDAV"](tmp_path, truth)
    source = ScaredSource(tmp_path)
    for name in ("dataset7/keyframe4", "dataset_7/keyframe_4", "train/dataset7/keyframe4/"):
        assert next(source.read(name)).sequence == NAME
    with pytest.raises(UserError, match="not a sequence of SCARED"):
        source.describe("rectified01")


def test_splits_are_the_published_lists(truth, tmp_path):
    LAYOUTS["EndoDAV"](tmp_path, truth)
    source = ScaredSource(tmp_path)
    assert {split: len(source.sequences(split)) for split in source.splits} == {
        "train": 24, "train_origin": 24, "validation": 3, "test": 8, "eval": 3, "all": 35,
    }  # fmt: skip
    assert source.sequences("train")[:2] == ["train/dataset7/keyframe4", "train/dataset1/keyframe1"]
    assert source.sequences("eval")[0] == "dataset5/keyframe1"
    with pytest.raises(UserError, match="choose one of train"):
        source.sequences("training")


def test_images_from_1_pair_with_depth_from_0(truth, tmp_path):
    """The off by one of prepared copies: image 0000000001 belongs to scene_points000000."""
    folder = LAYOUTS["AF-SfMLearner"](tmp_path, truth)
    assert (folder / "image_02/data/0000000001.png").exists()
    first = next(ScaredSource(tmp_path).read(NAME))
    np.testing.assert_array_equal(first.frame, truth[0].frame)
    np.testing.assert_array_equal(first.depth_mm, truth[0].depth_mm)


def test_frames_are_ordered_by_number_not_by_name(tmp_path):
    truth = render_truth(12, 16, 20)
    folder = fixtures.write_scared_prepared(tmp_path / "train/dataset7/keyframe4", truth)
    for number in range(1, 13):
        (folder / f"data/left/{number:010d}.png").rename(folder / f"data/left/{number}.png")
    assert_frames(ScaredSource(tmp_path).read(NAME), truth, sequence=NAME, intrinsics=1e-6)


def test_keyframes_8_and_9_renamed_by_af_are_recognised(truth, tmp_path):
    for keyframe in range(1, 5):
        fixtures.write_scared_af(tmp_path / f"dataset8/keyframe{keyframe}", truth[: keyframe + 1])
    source = ScaredSource(tmp_path)
    assert [source.describe(f"test/dataset8/keyframe{k}").frames for k in range(4)] == [2, 3, 4, 5]
    assert "called keyframe1" in source.describe("test/dataset8/keyframe0").odd[0]


def test_keyframes_8_and_9_of_the_download_keep_their_numbers(truth, tmp_path):
    for keyframe in range(4):
        fixtures.write_scared_download(tmp_path / f"dataset_8/keyframe_{keyframe}", truth[: keyframe + 2])
    fixtures.write_png(tmp_path / "dataset_8/keyframe_4/Left_Image.png", truth[0].frame)
    source = ScaredSource(tmp_path)
    assert [source.describe(f"test/dataset8/keyframe{k}").frames for k in range(4)] == [2, 3, 4, 5]
    with pytest.raises(UserError, match=r"keyframe4: .*no rgb.mp4"):
        source.describe("dataset8/keyframe4")


def test_a_download_with_video_alone_has_no_depth_and_no_pose_but_the_calibrated_camera(truth, tmp_path):
    fixtures.write_scared_download(tmp_path / "dataset_8/keyframe_0", truth, poses=False, depth=False)
    source = ScaredSource(tmp_path)
    info = source.describe("test/dataset8/keyframe0")
    assert (info.has_depth, info.has_pose, info.has_intrinsics) == (False, False, True)
    assert any("some downloads" in odd for odd in info.odd)
    frames = list(source.read("test/dataset8/keyframe0"))
    assert len(frames) == 6
    assert frames[0].depth_mm is None
    assert frames[0].cam_from_world is None
    np.testing.assert_allclose(frames[0].intrinsics, truth[0].intrinsics, atol=1e-6)


def test_the_constant_camera_is_the_published_one(truth, tmp_path):
    LAYOUTS["EndoDAV"](tmp_path, truth)
    first = next(ScaredSource(tmp_path, intrinsics="constant").read(NAME))
    np.testing.assert_allclose(first.intrinsics, [0.82 * 64, 1.02 * 48, 32, 24])


def test_images_left_uncut_are_cut_and_said_so(truth, tmp_path):
    folder = LAYOUTS["EndoDAV"](tmp_path, truth)
    for frame in truth:
        fixtures.write_png(folder / f"data/left/{frame.frame_index + 1:010d}.png", fixtures.stacked_stereo(frame))
    source = ScaredSource(tmp_path)
    assert_frames(source.read(NAME), truth, sequence=NAME, intrinsics=1e-6)
    assert any("cut to the upper" in odd for odd in source.describe(NAME).odd)


def test_z_is_the_third_channel_and_invalid_is_zero_or_nan(truth, tmp_path):
    depth = truth[0].depth_mm.copy()
    depth[:5] = 0
    holed = dataclasses.replace(truth[0], depth_mm=depth)
    for invalid in (0.0, np.nan, -1.0):
        tifffile.imwrite(tmp_path / "map.tiff", fixtures.point_map(holed, invalid), photometric="rgb")
        np.testing.assert_array_equal(read_z_map(tmp_path / "map.tiff", "map.tiff"), depth)
    # A keyframe's map has one view; a compressed file is read in full.
    one = fixtures.point_map(holed)[:48]
    tifffile.imwrite(tmp_path / "one.tiff", one, photometric="rgb", compression="zlib")
    np.testing.assert_array_equal(read_z_map(tmp_path / "one.tiff", "one.tiff"), depth)
    np.save(tmp_path / "z.npy", depth)
    np.testing.assert_array_equal(read_z_map(tmp_path / "z.npy", "z.npy"), depth)


def test_only_some_frames_can_be_read(truth, tmp_path):
    LAYOUTS["download"](tmp_path, truth)
    frames = list(ScaredSource(tmp_path).read(NAME, only={1, 4}))
    assert [frame.frame_index for frame in frames] == [1, 4]
    np.testing.assert_array_equal(frames[1].depth_mm, truth[4].depth_mm)


def test_reading_does_not_keep_frames(tmp_path):
    """Peak memory of a sequence three times as long is the same but for two members of the archive."""
    peaks = []
    for frames in (20, 60):
        root = tmp_path / str(frames)
        fixtures.write_scared_download(root / "dataset_7/keyframe_4", render_truth(frames, 96, 128))
        source = ScaredSource(root)
        source.describe(NAME)
        tracemalloc.start()
        for _ in source.read(NAME):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_member = 2 * 96 * 128 * 3 * 4
    assert peaks[1] < peaks[0] + 2 * one_member


# Bad data: one line with the sequence and the frame, or a count.


def drop(folder, name):
    (folder / name).unlink()


BROKEN = {
    "missing image": (lambda f: drop(f, "data/left/0000000003.png"), "5 frames but 6 poses", 1),
    "truncated image": (lambda f: fixtures.truncate(f / "data/left/0000000003.png"), "frame 2: 0000000003.png", 1),
    "missing depth": (lambda f: drop(f, "data/scene_points/scene_points000002.tiff"), "6 frames but 5 depth maps", 1),
    "truncated depth": (
        lambda f: fixtures.truncate(f / "data/scene_points/scene_points000002.tiff"),
        "frame 2: scene_points000002.tiff is truncated",
        1,
    ),
    "missing pose": (lambda f: drop(f, "data/frame_data/frame_data000005.json"), "6 frames but 5 poses", 1),
    "no pose in the JSON": (
        lambda f: (f / "data/frame_data/frame_data000004.json").write_text(json.dumps({"timestamp": 1})),
        "frame 4: frame_data000004.json has no camera-pose",
        1,
    ),
    "truncated JSON": (
        lambda f: fixtures.truncate(f / "data/frame_data/frame_data000004.json"),
        "frame 4: frame_data000004.json is truncated",
        1,
    ),
    "depth all zero": (
        lambda f: (f / "data/scene_points/scene_points000001.tiff").write_bytes(
            fixtures.tiff_bytes(np.zeros((96, 64, 3), np.float32))
        ),
        "frame 1: its depth is zero everywhere",
        1,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_frames_are_named_or_skipped_and_counted(kind, truth, tmp_path):
    damage, message, lost = BROKEN[kind]
    damage(LAYOUTS["EndoDAV"](tmp_path, truth))
    with pytest.raises(UserError, match=message) as caught:
        list(ScaredSource(tmp_path).read(NAME))
    assert str(caught.value).startswith(NAME)
    assert "\n" not in str(caught.value)
    stream = ScaredSource(tmp_path).read(NAME, on_bad_frame="skip")
    assert len(list(stream)) == 6 - lost
    assert len(stream.skipped) == lost
    assert all(line.startswith(NAME + ", frame ") for line in stream.skipped)


def test_a_truncated_archive_is_named_with_the_frame_it_fails_at(tmp_path):
    truth = render_truth(12, 96, 128)
    folder = fixtures.write_scared_download(tmp_path / "dataset_7/keyframe_4", truth)
    fixtures.truncate(folder / "data/scene_points.tar.gz")
    with pytest.raises(UserError, match=rf"{NAME}, frame \d+: scene_points.tar.gz breaks off after scene_points0000"):
        list(ScaredSource(tmp_path).read(NAME))
    stream = ScaredSource(tmp_path).read(NAME, on_bad_frame="skip")
    good = list(stream)
    assert 0 < len(good) < 12
    assert len(good) + len(stream.skipped) == 12


def test_a_video_cut_short_is_named_with_its_last_frame(tmp_path):
    truth = render_truth(8)
    folder = fixtures.write_scared_download(tmp_path / "dataset_7/keyframe_4", truth)
    fixtures.write_video(folder / "data/rgb.mp4", [fixtures.stacked_stereo(frame) for frame in truth[:5]])
    with pytest.raises(UserError, match=f"{NAME}: 5 frames but 8 poses"):
        list(ScaredSource(tmp_path).read(NAME))
    stream = ScaredSource(tmp_path).read(NAME, on_bad_frame="skip")
    assert len(list(stream)) == 5
    assert stream.skipped[0] == f"{NAME}, frame 5: the images end before it, after frame 4"
    fixtures.truncate(folder / "data/rgb.mp4")
    with pytest.raises(UserError, match=r"rgb.mp4: truncated or no video"):
        ScaredSource(tmp_path).describe(NAME)


def test_a_gap_in_a_sorted_archive_costs_one_frame(tmp_path):
    truth = render_truth(40, 16, 20)
    order = [i for i in range(40) if i != 7]
    fixtures.write_scared_download(tmp_path / "dataset_7/keyframe_4", truth, order=order)
    stream = ScaredSource(tmp_path).read(NAME, on_bad_frame="skip")
    assert [frame.frame_index for frame in stream] == order
    assert len(stream.skipped) == 1
    with pytest.raises(UserError, match="40 frames but 39 poses"):
        list(ScaredSource(tmp_path).read(NAME))


def test_a_damaged_zip_file_is_one_line(truth, tmp_path):
    fixtures.write_scared_download(tmp_path / "raw/keyframe_4", truth)
    fixtures.zip_folder(tmp_path / "dataset_7.zip", tmp_path / "raw")
    whole = (tmp_path / "dataset_7.zip").read_bytes()
    fixtures.truncate(tmp_path / "dataset_7.zip")
    with pytest.raises(UserError, match=r"dataset_7.zip: truncated or no zip file"):
        ScaredSource(tmp_path)
    # A byte flipped inside the video's data.
    (tmp_path / "dataset_7.zip").write_bytes(whole)
    with zipfile.ZipFile(tmp_path / "dataset_7.zip") as archive:
        video = archive.getinfo("keyframe_4/data/rgb.mp4")
    place = video.header_offset + video.compress_size // 2
    (tmp_path / "dataset_7.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    with pytest.raises(UserError, match=r"data/rgb.mp4: the zip file is damaged"):
        ScaredSource(tmp_path).describe(NAME)


def test_a_stream_that_is_closed_early_leaves_nothing_behind(truth, tmp_path, monkeypatch):
    fixtures.write_scared_download(tmp_path / "raw/keyframe_4", truth, order=[5, 4, 3, 2, 1, 0])
    fixtures.zip_folder(tmp_path / "dataset_7.zip", tmp_path / "raw")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    stream = ScaredSource(tmp_path / "dataset_7.zip").read(NAME)
    next(stream)
    assert len(list(scratch.iterdir())) == 2  # the video, and maps that wait for their turn
    stream.close()
    assert not list(scratch.iterdir())


def test_a_missing_data_set_and_a_wrong_folder_are_one_line_each(truth, tmp_path):
    LAYOUTS["EndoDAV"](tmp_path, truth)
    with pytest.raises(UserError, match="test/dataset9/keyframe0: not below"):
        ScaredSource(tmp_path).read("test/dataset9/keyframe0")
    with pytest.raises(UserError, match="no such folder"):
        ScaredSource(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no dataset_N"):
        ScaredSource(tmp_path / "train/dataset7/keyframe4")


@pytest.mark.slow
def test_the_real_size_comes_through(tmp_path):
    truth = render_truth(3, 1024, 1280)
    fixtures.write_scared_download(tmp_path / "dataset_7/keyframe_4", truth, lossless=False)
    assert_frames(ScaredSource(tmp_path).read(NAME), truth, sequence=NAME, colour=H264, intrinsics=1e-6)
