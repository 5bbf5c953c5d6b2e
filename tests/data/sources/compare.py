"""Comparison of what a source read with the truth it was written from."""

import numpy as np


def assert_frames(read, truth, *, sequence, colour=0.0, depth=0.0, pose=1e-9, intrinsics=1e-9) -> None:
    """Asserts order, numbers and values; tolerances are absolute (levels, mean over a frame for colour; mm; pixels)."""
    read = list(read)
    assert [frame.frame_index for frame in read] == [frame.frame_index for frame in truth]
    for got, want in zip(read, truth, strict=True):
        assert got.sequence == sequence
        assert got.frame.dtype == np.uint8
        assert got.frame.shape == want.frame.shape
        assert np.abs(got.frame.astype(int) - want.frame).mean() <= colour
        assert got.depth_mm.dtype == np.float32
        np.testing.assert_allclose(got.depth_mm, want.depth_mm, rtol=0, atol=depth)
        assert got.cam_from_world.dtype == np.float64
        np.testing.assert_allclose(got.cam_from_world, want.cam_from_world, rtol=0, atol=pose)
        assert got.intrinsics.dtype == np.float64
        np.testing.assert_allclose(got.intrinsics, want.intrinsics, rtol=0, atol=intrinsics)
