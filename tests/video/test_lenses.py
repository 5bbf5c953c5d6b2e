"""A lens's rays and pixels are inverse to each other, agree with OpenCV, and survive resizing, cutting and JSON."""

import json

import cv2
import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.video.lenses import (
    OpenCVLens,
    Pinhole,
    ScaramuzzaCamera,
    lens_from_json,
    lens_of,
    lens_of_colmap,
    pixel_grid,
)

SIZE = (120, 160)
K = np.array([100.0, 102.0, 81.0, 58.5])
MATRIX = np.array([[100.0, 0, 81], [0, 102, 58.5], [0, 0, 1]])
LENSES = {
    "pinhole": Pinhole(K),
    "barrel": OpenCVLens(K, (-0.25, 0.05, 1e-3, -2e-3)),
    "five": OpenCVLens(K, (-0.3, 0.12, 1e-3, 5e-4, -0.02)),
    "rational": OpenCVLens(K, (0.2, 0.1, 1e-3, -1e-3, 0.02, 0.4, 0.12, 0.03)),
    "fisheye": OpenCVLens(np.array([60.0, 61, 81, 58.5]), (0.03, -0.01, 0.002, -0.001), fisheye=True),
    "omnidirectional": ScaramuzzaCamera(160, 120, 81.0, 58.5, (90.0, 0.0, -6e-3, 5e-6, -1e-7), 1.001, 2e-3, -3e-3),
}


@pytest.mark.parametrize("name", LENSES)
def test_rays_and_pixels_are_inverse_to_each_other(name):
    lens = LENSES[name]
    rays = lens.ray_grid(SIZE)
    seen = np.isfinite(rays).all(axis=-1)
    assert seen.mean() > 0.6
    np.testing.assert_allclose(lens.pixels(rays[seen]), pixel_grid(SIZE)[seen], atol=1e-3)
    np.testing.assert_allclose(rays[seen][:, 2], 1.0)


@pytest.mark.parametrize("name", ["barrel", "five", "rational", "fisheye"])
def test_they_are_those_of_opencv(name):
    lens = LENSES[name]
    rays = np.random.default_rng(0).uniform(-0.6, 0.6, (200, 3))
    rays[:, 2] = 1
    project = cv2.fisheye.projectPoints if lens.fisheye else cv2.projectPoints
    matrix = np.array([[lens.intrinsics[0], 0, 81], [0, lens.intrinsics[1], 58.5], [0, 0, 1]])
    wanted = project(rays[:, None], np.zeros(3), np.zeros(3), matrix, np.array(lens.distortion))[0][:, 0]
    np.testing.assert_allclose(lens.pixels(rays), wanted, atol=1e-9)


def test_beyond_where_the_polynomial_folds_back_nothing_is_seen():
    # r (1 - 0.5 r^2) grows up to r = sqrt(2 / 3) and would come back to the middle.
    lens = OpenCVLens(K, (-0.5, 0.0, 0.0, 0.0))
    edge = np.sqrt(2 / 3)
    assert np.isfinite(lens.pixels(np.array([0.99 * edge, 0, 1.0]))).all()
    assert np.isnan(lens.pixels(np.array([1.01 * edge, 0, 1.0]))).all()
    farthest = K[2] + K[0] * edge * (1 - 0.5 * edge**2)
    assert np.isfinite(lens.rays(np.array([farthest - 1, K[3]]))).all()
    assert np.isinf(lens.rays(np.array([farthest + 1, K[3]]))).all()


@pytest.mark.parametrize("name", LENSES)
def test_a_resized_or_cut_image_sees_the_same_rays(name):
    lens = LENSES[name]
    pixels = np.array([[40.0, 30.0], [81.0, 58.5], [120.0, 80.0]])
    scaled = (pixels + 0.5) * (1.5, 0.5) - 0.5
    np.testing.assert_allclose(lens.scaled(1.5, 0.5).rays(scaled), lens.rays(pixels), atol=1e-7)
    np.testing.assert_allclose(lens.cut(10, 20).rays(pixels - (10, 20)), lens.rays(pixels), atol=1e-9)


@pytest.mark.parametrize("name", LENSES)
def test_near_the_axis_it_is_its_pinhole(name):
    lens = LENSES[name]
    ray = np.array([1e-5, 2e-5, 1.0])
    np.testing.assert_allclose(lens.pixels(ray), Pinhole(lens.intrinsics).pixels(ray), atol=1e-5)


@pytest.mark.parametrize("name", LENSES)
def test_json_keeps_everything(name):
    lens = LENSES[name]
    again = lens_from_json(json.loads(json.dumps(lens.to_json())))
    assert type(again) is type(lens)
    np.testing.assert_array_equal(again.ray_grid(SIZE), lens.ray_grid(SIZE))


@pytest.mark.parametrize(
    ("model", "parameters", "wanted"),
    [
        ("PINHOLE", [100, 102, 81.5, 59], Pinhole(K)),
        ("SIMPLE_PINHOLE", [100, 81.5, 59], Pinhole(np.array([100, 100, 81, 58.5]))),
        ("SIMPLE_RADIAL", [100, 81.5, 59, -0.2], OpenCVLens(np.array([100, 100, 81, 58.5]), (-0.2, 0, 0, 0))),
        ("OPENCV", [100, 102, 81.5, 59, -0.25, 0.05, 1e-3, -2e-3], LENSES["barrel"]),
        ("FULL_OPENCV", [100, 102, 81.5, 59, 0.2, 0.1, 1e-3, -1e-3, 0.02, 0.4, 0.12, 0.03], LENSES["rational"]),
        ("OPENCV_FISHEYE", [60, 61, 81.5, 59, 0.03, -0.01, 0.002, -0.001], LENSES["fisheye"]),
        ("RADIAL", [100, 81.5, 59, 0, 0], Pinhole(np.array([100, 100, 81, 58.5]))),
    ],
)
def test_colmaps_models_are_read_as_the_lenses_they_are(model, parameters, wanted):
    lens = lens_of_colmap(model, np.array(parameters))
    assert type(lens) is type(wanted)
    np.testing.assert_allclose(lens.ray_grid(SIZE), wanted.ray_grid(SIZE), atol=1e-9)


def test_what_no_camera_has_is_refused():
    with pytest.raises(UserError, match="camera model FOV; known are"):
        lens_of_colmap("FOV", np.ones(5))
    with pytest.raises(UserError, match="OPENCV with 5 parameters; it has 8"):
        lens_of_colmap("OPENCV", np.ones(5))
    with pytest.raises(ValueError, match="6 distortion coefficients; OpenCV's pinhole has 4, 5, 8, 12, 14"):
        lens_of(K, (0.1,) * 6, fisheye=False)
    with pytest.raises(ValueError, match="not finite"):
        lens_of(K, (np.nan,) * 4, fisheye=True)
