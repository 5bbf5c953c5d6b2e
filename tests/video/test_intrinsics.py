"""Intrinsics as users have them."""

import json

import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.video.intrinsics import guessed_intrinsics, read_intrinsics

SIZE = (100, 200)
K = np.array([[150.0, 0, 99.0], [0, 151.0, 49.0], [0, 0, 1]])
EXPECTED = [150.0, 151.0, 99.0, 49.0]


@pytest.mark.parametrize("name", ["k.txt", "k.npy", "k.npz", "k.json", "named.json", "four.txt"])
def test_every_form_of_file_gives_the_same_intrinsics(tmp_path, name):
    path = tmp_path / name
    match name:
        case "k.txt":
            np.savetxt(path, K)
        case "k.npy":
            np.save(path, K)
        case "k.npz":
            np.savez(path, K=K)
        case "k.json":
            path.write_text(json.dumps({"camera_matrix": K.tolist()}))
        case "named.json":
            path.write_text(json.dumps(dict(zip(("fx", "fy", "cx", "cy"), EXPECTED, strict=True))))
        case "four.txt":
            path.write_text("150 151 99 49")
    np.testing.assert_array_equal(read_intrinsics(str(path), SIZE, SIZE), EXPECTED)


def test_numbers_two_numbers_and_fractions_of_the_size():
    np.testing.assert_array_equal(read_intrinsics("150,151,99,49", SIZE, SIZE), EXPECTED)
    np.testing.assert_array_equal(read_intrinsics("150,151", SIZE, SIZE), [150, 151, 99.5, 49.5])
    np.testing.assert_array_equal(read_intrinsics("0.75,1.5,0.5,0.5", SIZE, SIZE), [150, 150, 100, 50])


def test_they_follow_a_resize_so_that_edges_fall_on_edges():
    fx, fy, cx, cy = read_intrinsics("150,151,99.5,49.5", SIZE, (50, 100))
    assert (fx, fy, cx, cy) == (75.0, 75.5, 49.5, 24.5)


def test_the_guess_looks_through_the_centre_with_square_pixels():
    fx, fy, cx, cy = guessed_intrinsics((1024, 1280))
    assert fx == fy == pytest.approx(1049.6)
    assert (cx, cy) == (639.5, 511.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "holds 3 numbers"),
        ("-100,100,50,50", "must be positive"),
        ("nan,100,50,50", "must be positive"),
        ("none.txt", "cannot be read"),
    ],
)
def test_what_makes_no_camera_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        read_intrinsics(text, SIZE, SIZE)


def test_a_principal_point_far_outside_the_frames_is_refused_one_just_outside_is_not():
    height, width = SIZE
    with pytest.raises(UserError, match=r"--intrinsics .*principal point .* is far outside the frames"):
        read_intrinsics(f"100,100,{8 * width},{height / 2}", SIZE, SIZE)
    read_intrinsics(f"100,100,{1.2 * width},{-0.2 * height}", SIZE, SIZE)  # cut out of a larger picture


def test_a_file_of_words_or_without_the_keys_is_refused(tmp_path):
    (tmp_path / "w.txt").write_text("hello")
    (tmp_path / "w.json").write_text('{"focal": 3}')
    with pytest.raises(UserError, match="not numbers"):
        read_intrinsics(str(tmp_path / "w.txt"), SIZE, SIZE)
    with pytest.raises(UserError, match="neither `intrinsics`"):
        read_intrinsics(str(tmp_path / "w.json"), SIZE, SIZE)


@pytest.mark.parametrize("name", ["k.npy", "k.npz", "k.json"])
def test_a_file_of_text_where_numbers_belong_is_refused(tmp_path, name):
    text = np.array(["a", "b", "c", "d"])
    match name:
        case "k.npy":
            np.save(tmp_path / name, text)
        case "k.npz":
            np.savez(tmp_path / name, K=text)
        case "k.json":
            (tmp_path / name).write_text(json.dumps({"K": text.tolist()}))
    with pytest.raises(UserError, match="not numbers"):
        read_intrinsics(str(tmp_path / name), SIZE, SIZE)
