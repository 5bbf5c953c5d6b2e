"""C3VD, from bytes on disk to values, and its fisheye camera."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.sources.c3vd import FISHEYE, NATIVE_SIZE, PINHOLE, C3vdSource
from endodav_jax.errors import UserError
from endodav_jax.geometry.pixels import resized_intrinsics
from tests.data import fixtures
from tests.data.scene import render_frame, render_truth
from tests.data.sources.compare import assert_frames

CLIP = "cecum_t1_a"
STEP = 100 / 65535


@pytest.fixture(scope="module")
def truth():
    camera = resized_intrinsics(PINHOLE, NATIVE_SIZE, (60, 75))
    frames = [
        render_frame(frame.cam_from_world, camera, 60, 75, frame_index=frame.frame_index, sequence=CLIP)
        for frame in render_truth(12, 60, 75)
    ]
    return [dataclasses.replace(f, depth_mm=np.where(f.depth_mm < 100, f.depth_mm, np.float32(0))) for f in frames]


@pytest.mark.parametrize("padded", [True, False])
def test_depth_and_pose_come_back_in_millimetres_and_opencv_axes(padded, truth, tmp_path):
    """With unpadded names frame 10 must not come before frame 2."""
    fixtures.write_c3vd(tmp_path / CLIP, truth, padded=padded)
    assert_frames(C3vdSource(tmp_path).read(CLIP), truth, sequence=CLIP, depth=STEP, intrinsics=1e-9, pose=1e-9)


def test_0_and_the_largest_value_are_invalid(truth, tmp_path):
    depth = truth[0].depth_mm.copy()
    depth[0], depth[1] = 0, 100
    fixtures.write_c3vd(tmp_path / CLIP, [dataclasses.replace(truth[0], depth_mm=depth)])
    got = next(C3vdSource(tmp_path).read(CLIP)).depth_mm
    assert not got[:2].any()
    np.testing.assert_allclose(got[2:], depth[2:], atol=STEP)


def test_the_black_border_is_no_view_but_a_dark_lumen_is(truth, tmp_path):
    rgb = truth[0].frame.copy()
    v, u = np.indices(rgb.shape[:2])
    border = (u + v < 15) | (74 - u + v < 15) | (u + 59 - v < 15) | (74 - u + 59 - v < 15)
    rgb[border] = 0
    rgb[25:30, 30:40] = 0  # a lumen
    fixtures.write_c3vd(tmp_path / CLIP, [dataclasses.replace(truth[0], frame=rgb)])
    view = next(C3vdSource(tmp_path).read(CLIP)).view_mask
    assert view[25:30, 30:40].all()
    assert (view & border).mean() < 0.01
    assert (view | border).mean() > 0.95  # all but the blurred rim


def test_fisheye_rays_and_pixels_are_inverse_to_each_other():
    u, v = np.meshgrid(np.linspace(60, 1290, 25), np.linspace(40, 1040, 21))
    pixels = np.stack([u, v], axis=-1)
    np.testing.assert_allclose(FISHEYE.pixels(FISHEYE.rays(pixels)), pixels, atol=1e-4)
    centre = FISHEYE.rays(np.array([FISHEYE.cx, FISHEYE.cy]))
    np.testing.assert_allclose(centre, [0, 0, 1], atol=1e-12)
    # By hand, 100 px right of the centre: z = a0 + a2 r^2 + a3 r^3 + a4 r^4 with r nearly 100.
    z = 769.243600037458 - 8.12770624150226 + 0.625674244578925 - 0.11966218214428
    np.testing.assert_allclose(FISHEYE.rays(np.array([FISHEYE.cx + 100, FISHEYE.cy]))[0], 100 / z, rtol=1e-4)


def test_a_resized_fisheye_sees_the_same_rays():
    small = FISHEYE.resized(450, 270)
    pixels = np.array([[100.0, 200.0], [700.0, 500.0], [1200.0, 900.0]])
    scaled = (pixels + 0.5) * (450 / 1350, 270 / 1080) - 0.5
    np.testing.assert_allclose(small.rays(scaled), FISHEYE.rays(pixels), atol=1e-9)


def test_undistorted_frames_match_the_pinhole_camera_they_claim(tmp_path):
    """A fisheye picture of the known world, undistorted, is the pinhole picture of the same world."""
    width, height = 270, 216
    fisheye = FISHEYE.resized(width, height)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays = fisheye.rays(np.stack([u, v], axis=-1))
    outside = ~(np.abs(rays) < 3).all(axis=-1)
    rays[outside] = (0, 0, 1)
    camera = resized_intrinsics(PINHOLE, NATIVE_SIZE, (height, width))
    distorted = render_frame(np.eye(4), camera, height, width, frame_index=0, sequence=CLIP, rays=rays)
    distorted.frame[outside] = 0
    distorted.depth_mm[outside] = 0
    wanted = render_frame(np.eye(4), camera, height, width, frame_index=0, sequence=CLIP)
    fixtures.write_c3vd(tmp_path / CLIP, [distorted])
    got = next(C3vdSource(tmp_path, undistort=True).read(CLIP))
    seen = (got.depth_mm > 0) & got.view_mask
    assert seen.mean() > 0.8
    assert np.abs(got.frame[seen].astype(float) - wanted.frame[seen]).mean() < 1.0
    assert np.median(np.abs(got.depth_mm - wanted.depth_mm)[seen]) < 0.1
    # As it stands the fisheye is not that picture.
    raw = next(C3vdSource(tmp_path).read(CLIP))
    assert np.abs(raw.frame[seen].astype(float) - wanted.frame[seen]).mean() > 2.0


def test_the_published_cut_moves_the_principal_point(tmp_path):
    blank = render_truth(1, 1080, 1350)[0]
    fixtures.write_c3vd(tmp_path / CLIP, [blank])
    got = next(C3vdSource(tmp_path, cut_border=True).read(CLIP))
    np.testing.assert_array_equal(got.frame, blank.frame[180:900, 200:1150])
    np.testing.assert_allclose(got.intrinsics, PINHOLE - (0, 0, 200, 180))


def test_the_cut_of_a_rescaled_copy_is_of_the_same_region(tmp_path):
    half = render_truth(1, 540, 675)[0]
    fixtures.write_c3vd(tmp_path / CLIP, [half])
    source = C3vdSource(tmp_path, cut_border=True)
    got = next(source.read(CLIP))
    np.testing.assert_array_equal(got.frame, half.frame[90:450, 100:575])
    assert (source.describe(CLIP).height, source.describe(CLIP).width) == got.frame.shape[:2]


def test_22_clips_and_missing_parts(truth, tmp_path):
    folder = fixtures.write_c3vd(tmp_path / CLIP, truth)
    source = C3vdSource(tmp_path)
    assert len(source.sequences("all")) == 22
    assert source.sequences("found") == [CLIP]
    assert "12 frames instead of 276" in source.describe(CLIP).odd
    lines = (folder / "pose.txt").read_text().splitlines()
    (folder / "pose.txt").write_text("\r\n".join(lines[:-1]))
    with pytest.raises(UserError, match=f"{CLIP}: 12 frames but 11 poses"):
        source.read(CLIP)
    stream = source.read(CLIP, on_bad_frame="skip")
    assert len(list(stream)) == 11
    assert stream.skipped == [f"{CLIP}, frame 11: pose.txt has 11 lines and none for it"]
    (folder / "pose.txt").write_text("1,2,3")
    with pytest.raises(UserError, match=r"pose.txt: line 1 is not 16 numbers"):
        source.read(CLIP)
