"""Camera files of OpenCV, ROS, nerfstudio, COLMAP and Matlab become the same lens."""

import json

import cv2
import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.lenses import OpenCVLens, Pinhole, ScaramuzzaCamera

SIZE = (120, 160)
K = [[100.0, 0, 81], [0, 102, 58.5], [0, 0, 1]]
FOUR = {"fx": 100.0, "fy": 102.0, "cx": 81.0, "cy": 58.5}
BARREL = [-0.25, 0.05, 1e-3, -2e-3, 0.0]
FISHEYE = [0.03, -0.01, 0.002, -0.001]
OMNI = {"width": 160, "height": 120, "cx": 81.0, "cy": 58.5, "a0": 90.0, "a2": -6e-3, "a3": 5e-6, "a4": -1e-7,
        "c": 1.001, "d": 2e-3, "e": -3e-3}  # fmt: skip


def opencv_storage(path, coefficients):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("camera_matrix", np.array(K))
    storage.write("distortion_coefficients", np.array([coefficients]))
    storage.release()


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))


FORMS = {
    "opencv": ("c.json", FOUR | {"distortion": BARREL}, "barrel"),
    "matrix": ("c.json", {"K": K, "dist_coeffs": [BARREL]}, "barrel"),
    "ros": (
        "c.yaml",
        f"image_width: 160\nimage_height: 120\ncamera_matrix: {{rows: 3, cols: 3, data: {np.ravel(K).tolist()}}}\n"
        f"distortion_model: plumb_bob\ndistortion_coefficients: {{rows: 1, cols: 5, data: {BARREL}}}\n",
        "barrel",
    ),
    "named": (
        "c.json",
        {"fl_x": 100, "fl_y": 102, "cx": 81, "cy": 58.5, "w": 160, "h": 120, "camera_model": "OPENCV"}
        | dict(zip(("k1", "k2", "p1", "p2"), BARREL, strict=False)),
        "barrel",
    ),
    "colmap": ("cameras.txt", "# a comment\n1 OPENCV 160 120 100 102 81.5 59 -0.25 0.05 0.001 -0.002\n", "barrel"),
    "fisheye": ("c.json", FOUR | {"model": "fisheye", "distortion": FISHEYE}, "fisheye"),
    "equidistant": ("c.yaml", f"K: {K}\ndistortion_model: equidistant\nD: {FISHEYE}\n", "fisheye"),
    "colmap_fisheye": (
        "cameras.txt",
        "1 OPENCV_FISHEYE 160 120 100 102 81.5 59 0.03 -0.01 0.002 -0.001\n",
        "fisheye",
    ),
    "omnidirectional": ("c.json", {"model": "omnidirectional"} | OMNI, "omni"),
    "matlab": (
        "c.json",
        {
            "MappingCoefficients": [90.0, -6e-3, 5e-6, -1e-7],
            "DistortionCenter": [82.0, 59.5],
            "StretchMatrix": [[1.001, 2e-3], [-3e-3, 1]],
            "ImageSize": [120, 160],
        },
        "omni",
    ),
    "plain": ("c.json", FOUR, "pinhole"),
    "zero": ("c.json", FOUR | {"distortion": [0, 0, 0, 0, 0]}, "pinhole"),
}
WANTED = {
    "barrel": OpenCVLens(np.array([100, 102, 81, 58.5]), tuple(BARREL)),
    "fisheye": OpenCVLens(np.array([100, 102, 81, 58.5]), tuple(FISHEYE), fisheye=True),
    "omni": ScaramuzzaCamera(160, 120, 81.0, 58.5, (90.0, 0.0, -6e-3, 5e-6, -1e-7), 1.001, 2e-3, -3e-3),
    "pinhole": Pinhole(np.array([100, 102, 81, 58.5])),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_lens(tmp_path, form):
    name, content, wanted = FORMS[form]
    write(tmp_path / name, content)
    lens = read_camera(str(tmp_path / name), SIZE, SIZE)
    assert type(lens) is type(WANTED[wanted])
    np.testing.assert_allclose(lens.ray_grid(SIZE), WANTED[wanted].ray_grid(SIZE), atol=1e-9)


def test_a_file_of_opencv_gives_its_lens(tmp_path):
    opencv_storage(tmp_path / "c.yaml", BARREL)
    lens = read_camera(str(tmp_path / "c.yaml"), SIZE, SIZE)
    np.testing.assert_allclose(lens.ray_grid(SIZE), WANTED["barrel"].ray_grid(SIZE), atol=1e-9)


@pytest.mark.parametrize("form", ["ros", "colmap", "omnidirectional", "matlab"])
def test_a_camera_for_another_size_is_scaled_and_one_for_another_shape_refused(tmp_path, form):
    name, content, wanted = FORMS[form]
    write(tmp_path / name, content)
    small = read_camera(str(tmp_path / name), (60, 80), (30, 40))
    np.testing.assert_allclose(
        small.rays(np.array([20.0, 10.0])), WANTED[wanted].rays(np.array([81.5, 41.5])), atol=1e-7
    )
    with pytest.raises(UserError, match="is for 160x120, the frames are 100x100, of another shape"):
        read_camera(str(tmp_path / name), (100, 100), (100, 100))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", {"focal": 3}, "has neither fx, fy, cx, cy nor a matrix"),
        ("c.json", "{", "cannot be read as json"),
        ("c.yaml", "a: [", "cannot be read as yaml"),
        ("c.json", FOUR | {"model": "spherical"}, "model spherical; known are pinhole"),
        ("c.json", FOUR | {"distortion": [0.1] * 6}, "6 distortion coefficients"),
        ("c.json", FOUR | {"distortion": ["a"]}, "is no camera known here"),
        ("c.json", {"model": "omnidirectional", "cx": 3, "a0": 1.0}, "cy is missing"),
        ("c.json", {"model": "omnidirectional"} | OMNI | {"a0": -1.0}, "a0 must be a positive number"),
        ("cameras.txt", "1 FOV 160 120 1 1 1 1 1\n", "camera model FOV"),
        ("cameras.txt", "1 PINHOLE 160 120 1 1 1 1\n2 PINHOLE 160 120 1 1 1 1\n", "holds 2 cameras"),
    ],
)
def test_what_is_no_camera_is_one_line(tmp_path, name, content, message):
    write(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as caught:
        read_camera(str(tmp_path / name), SIZE, SIZE)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
