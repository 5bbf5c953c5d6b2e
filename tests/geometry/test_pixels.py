"""Pixels and cameras of images that are resized or cut."""

import numpy as np

from endodav_jax.geometry.pixels import cut_intrinsics, resized_intrinsics, resized_pixels, scaled_intrinsics

CAMERA = np.array([80.0, 90.0, 31.0, 20.0])
SIZE = (48, 64)  # height and width


def test_edges_fall_on_edges():
    edges = np.array([-0.5, 63.5])
    np.testing.assert_array_equal(resized_pixels(edges, 2.5), [-0.5, 159.5])
    assert resized_pixels(2.0, 2.0) == 4.5


def test_a_resized_camera_sees_a_point_where_its_resized_pixel_is():
    point, size = np.array([0.2, -0.1]), (96, 32)  # X/Z and Y/Z
    pixel = CAMERA[:2] * point + CAMERA[2:]
    camera = resized_intrinsics(CAMERA, SIZE, size)
    np.testing.assert_allclose(camera[:2] * point + camera[2:], resized_pixels(pixel, np.array([0.5, 2.0])))
    np.testing.assert_array_equal(camera, scaled_intrinsics(CAMERA, 0.5, 2.0))


def test_cutting_moves_the_principal_point_alone():
    np.testing.assert_array_equal(cut_intrinsics(CAMERA, 5, 3), [80, 90, 26, 17])
