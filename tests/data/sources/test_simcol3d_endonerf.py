"""SimCol3D and EndoNeRF, from bytes on disk to values."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.sources.endonerf import EndonerfSource
from endodav_jax.data.sources.simcol3d import Simcol3dSource
from endodav_jax.errors import UserError
from tests.data import fixtures
from tests.data.scene import render_truth
from tests.data.sources.compare import assert_frames

S1 = "SyntheticColon_I/Frames_S1"


@pytest.fixture(scope="module")
def truth():
    return render_truth(5)


def test_simcol3d_comes_back_in_millimetres_and_opencv_axes(truth, tmp_path):
    fixtures.write_simcol3d(tmp_path / S1, truth)
    assert_frames(Simcol3dSource(tmp_path).read(S1), truth, sequence=S1, depth=200 / 65280, pose=1e-9)


def test_simcol3d_alpha_is_no_opacity_and_16_bits_are_rounded_to_8(truth, tmp_path):
    """The writer stores an alpha of 30000; laid over black the picture would lose half of its light."""
    fixtures.write_simcol3d(tmp_path / S1, truth)
    np.testing.assert_array_equal(next(Simcol3dSource(tmp_path).read(S1)).frame, truth[0].frame)


def test_simcol3d_splits_and_missing_parts(truth, tmp_path):
    for name in (S1, "SyntheticColon_I/Frames_S10", "SyntheticColon_I/Frames_S2", "SyntheticColon_II/Frames_B1"):
        folder = fixtures.write_simcol3d(tmp_path / name, truth)
    source = Simcol3dSource(tmp_path)
    assert source.sequences("train") == [S1, "SyntheticColon_I/Frames_S2", "SyntheticColon_II/Frames_B1"]
    assert len(source.sequences("test")) == 9
    assert "SyntheticColon_I/Frames_S10" in source.sequences("test")
    assert "5 frames instead of 1201" in source.describe("SyntheticColon_I/Frames_S10").odd
    (folder.parent / "cam.txt").unlink()
    assert not source.describe("SyntheticColon_II/Frames_B1").has_intrinsics
    (folder.parent / "SavedPosition_B1.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match=r"SavedPosition_B1.txt: 1 lines, but 5"):
        source.read("SyntheticColon_II/Frames_B1")
    fixtures.truncate(tmp_path / S1 / "FrameBuffer_0002.png")
    fixtures.truncate(tmp_path / S1 / "Depth_0003.png")
    stream = source.read(S1, on_bad_frame="skip")
    assert [frame.frame_index for frame in stream] == [0, 1, 4]
    assert stream.skipped[0] == f"{S1}, frame 2: FrameBuffer_0002.png is truncated"
    assert stream.skipped[1].startswith(f"{S1}, frame 3: Depth_0003.png is truncated")


def centred(truth):
    """EndoNeRF's camera has one focal length and its principal point in the middle."""
    height, width = truth.frame.shape[:2]
    return dataclasses.replace(truth, intrinsics=np.array([60.0, 60.0, width / 2, height / 2]))


@pytest.mark.parametrize("poses_name", ["poses_bounds.npy", "pose_bounds.npy"])
def test_endonerf_comes_back_with_poses_in_opencv_axes(poses_name, truth, tmp_path):
    frames = [centred(frame) for frame in truth]
    tools = [np.zeros((48, 64), bool) for _ in frames]
    fixtures.write_endonerf(tmp_path / "pulling", frames, tools, poses_name=poses_name)
    assert_frames(EndonerfSource(tmp_path).read("pulling"), frames, sequence="pulling", depth=0.5)


def test_endonerf_tools_and_graphics_are_no_view(truth, tmp_path):
    tool = np.zeros((48, 64), bool)
    tool[10:20, 30:50] = True
    fixtures.write_endonerf(tmp_path / "pulling", truth[:1], [tool])
    expected = ~tool
    expected[47:] = False  # 12 of 512 rows
    np.testing.assert_array_equal(next(EndonerfSource(tmp_path).read("pulling")).view_mask, expected)
    assert next(EndonerfSource(tmp_path, tools=True).read("pulling")).view_mask[:47].all()
    fixtures.write_endonerf(tmp_path / "stereomis", truth[:1], [~tool])
    np.testing.assert_array_equal(
        next(EndonerfSource(tmp_path, negated_masks=True).read("stereomis")).view_mask, expected
    )


def test_endonerf_known_corrupt_depth_is_left_out(tmp_path):
    truth = render_truth(24, 16, 20)
    fixtures.write_endonerf(tmp_path / "cutting_tissues_twice", truth, [np.zeros((16, 20), bool)] * 24)
    source = EndonerfSource(tmp_path)
    missing = [frame.frame_index for frame in source.read("cutting_tissues_twice") if frame.depth_mm is None]
    assert missing == [21]
    assert any("(21, 38)" in odd for odd in source.describe("cutting_tissues_twice").odd)


def test_endonerf_without_poses_is_one_line(truth, tmp_path):
    folder = fixtures.write_endonerf(tmp_path / "pulling", truth, [np.zeros((48, 64), bool)] * 5)
    (folder / "poses_bounds.npy").unlink()
    with pytest.raises(UserError, match=r"pulling: .* has neither poses_bounds.npy nor pose_bounds.npy"):
        EndonerfSource(tmp_path).read("pulling")
