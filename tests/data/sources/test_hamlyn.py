"""Hamlyn's rectified release, from bytes on disk to values."""

import numpy as np
import pytest
from PIL import Image

from endodav_jax.data.sources.hamlyn import HamlynSource
from endodav_jax.errors import UserError
from tests.data import fixtures
from tests.data.scene import render_truth

JPEG = 2.0  # mean levels that JPEG at quality 97 may lose


@pytest.fixture(scope="module")
def truth():
    return render_truth(4, 72, 180)


@pytest.mark.parametrize("nested", [False, True])
def test_values_are_read_in_millimetres_from_either_depth_of_folders(nested, truth, tmp_path):
    folder = tmp_path / "rectified14" / "rectified14" if nested else tmp_path / "rectified14"
    fixtures.write_hamlyn(folder, truth)
    source = HamlynSource(tmp_path)
    info = source.describe("rectified14")
    assert (info.frames, info.depth_frames, info.height, info.width, info.has_pose) == (4, 4, 72, 180, False)
    for got, want in zip(source.read("rectified14"), truth, strict=True):
        assert np.abs(got.frame.astype(int) - want.frame).mean() < JPEG
        np.testing.assert_array_equal(got.depth_mm, np.round(want.depth_mm))
        assert got.depth_mm.dtype == np.float32
        assert got.cam_from_world is None


def test_numbers_with_gaps_pair_by_number_and_keep_them(truth, tmp_path):
    folder = fixtures.write_hamlyn(tmp_path / "rectified01", truth, numbers=[0, 3, 9, 12])
    (folder / "depth01/0000000003.png").unlink()
    source = HamlynSource(tmp_path)
    odd = source.describe("rectified01").odd
    assert "1 images have no depth map, the first is number 3" in odd
    assert "9 numbers are missing between 0 and 12" in odd
    with pytest.raises(UserError, match="rectified01: 4 frames but 3 depth maps"):
        source.read("rectified01")
    stream = source.read("rectified01", on_bad_frame="skip")
    good = list(stream)
    assert [frame.frame_index for frame in good] == [0, 9, 12]
    np.testing.assert_array_equal(good[1].depth_mm, np.round(truth[2].depth_mm))
    assert stream.skipped == ["rectified01, frame 3: 0000000003.png is missing"]


def test_frames_without_leading_zeros_are_ordered_by_number(truth, tmp_path):
    folder = fixtures.write_hamlyn(tmp_path / "rectified01", truth, numbers=[2, 9, 10, 100])
    for path in [*folder.glob("*/*.jpg"), *folder.glob("*/*.png")]:
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    assert [frame.frame_index for frame in HamlynSource(tmp_path).read("rectified01")] == [2, 9, 10, 100]


def test_the_published_cut_moves_the_principal_point(tmp_path):
    truth = render_truth(1, 288, 720)
    fixtures.write_hamlyn(tmp_path / "rectified25", truth)
    fixtures.write_hamlyn(tmp_path / "rectified12", truth)
    whole = next(HamlynSource(tmp_path).read("rectified25"))
    source = HamlynSource(tmp_path, cut_sides=True)
    cut = next(source.read("rectified25"))
    assert source.describe("rectified25").width == 410
    np.testing.assert_array_equal(cut.frame, whole.frame[:, 180:590])
    np.testing.assert_array_equal(cut.depth_mm, whole.depth_mm[:, 180:590])
    np.testing.assert_allclose(whole.intrinsics, [455.510315, 455.510315, 238.629, 124.085])
    np.testing.assert_allclose(cut.intrinsics, [455.510315, 455.510315, 58.629, 124.085])
    assert next(source.read("rectified12")).frame.shape == (288, 720, 3)  # only above 13


def test_the_camera_is_scaled_to_another_size_and_said_so(truth, tmp_path):
    fixtures.write_hamlyn(tmp_path / "rectified14", truth)  # 180x72 instead of 720x288
    source = HamlynSource(tmp_path)
    frame = next(source.read("rectified14"))
    np.testing.assert_allclose(
        frame.intrinsics, [417.9036255 / 4, 417.9036255 / 4, 373.708 / 4 - 0.5, 158.636 / 4 - 0.5]
    )
    assert any("180x72" in odd for odd in source.describe("rectified14").odd)
    cut = HamlynSource(tmp_path, cut_sides=True)
    assert next(cut.read("rectified14")).frame.shape[1] == cut.describe("rectified14").width == 148 - 45


@pytest.mark.parametrize("place", ["rectified14/intrinsics.txt", "calibration/rectified14/intrinsics.txt"])
def test_an_own_camera_that_differs_is_taken_as_it_stands(place, truth, tmp_path):
    fixtures.write_hamlyn(tmp_path / "rectified14", truth)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("100 0 90 0\n0 101 36 0\n0 0 1 0")
    source = HamlynSource(tmp_path)
    np.testing.assert_array_equal(next(source.read("rectified14")).intrinsics, [100, 101, 90, 36])
    assert any("intrinsics.txt differs" in odd for odd in source.describe("rectified14").odd)


def test_21_sequences_by_default_and_22_on_request(tmp_path):
    source = HamlynSource(tmp_path)
    assert len(source.sequences("test")) == 21
    assert set(source.sequences("all")) - set(source.sequences("test")) == {"rectified08"}
    assert source.sequences("validation") == [f"rectified{k}" for k in range(23, 28)]
    for name, message in (("rectified13", "no rectified13/image01"), ("hand", "not a sequence of Hamlyn")):
        with pytest.raises(UserError, match=message):
            source.describe(name)


def test_bad_files_are_named_by_sequence_and_frame(truth, tmp_path):
    folder = fixtures.write_hamlyn(tmp_path / "rectified14", truth)
    fixtures.truncate(folder / "depth01/0000000001.png")
    Image.new("I;16", (180, 72)).save(folder / "depth01/0000000002.png")
    fixtures.truncate(folder / "image01/0000000003.jpg")
    with pytest.raises(UserError, match=r"rectified14, frame 1: 0000000001.png is truncated"):
        list(HamlynSource(tmp_path).read("rectified14"))
    stream = HamlynSource(tmp_path).read("rectified14", on_bad_frame="skip")
    assert len(list(stream)) == 1
    assert [line.split(": ", 1)[1] for line in stream.skipped[1:]] == [
        "its depth is zero everywhere",
        "0000000003.jpg is missing, truncated or no image",
    ]
