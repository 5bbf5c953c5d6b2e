"""Phantom frames written in every raw layout come back as the phantom's truth."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.sources.c3vd import NATIVE_SIZE, PINHOLE, C3vdSource
from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.data.sources.hamlyn import HamlynSource
from endodav_jax.data.sources.phantom import PhantomSource
from endodav_jax.data.sources.scared import ScaredSource
from endodav_jax.data.sources.simcol3d import Simcol3dSource
from endodav_jax.geometry.pixels import resized_intrinsics
from tests.data import fixtures
from tests.data.sources.compare import assert_frames

# The phantom is rendered in float32, so its poses are rigid to about 1e-6 only.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phantom():
    source = PhantomSource("colon", frames=5, sequences=1, height=64, width=80)
    frames = list(source.read(source.sequences("train")[0]))
    assert all(frame.depth_mm.any() for frame in frames)
    return frames


@pytest.mark.parametrize("writer", ["download", "prepared", "af"])
def test_scared_gives_back_what_was_written(writer, phantom, tmp_path):
    folder = tmp_path / "dataset7/keyframe4"
    write = {
        "download": fixtures.write_scared_download,
        "prepared": fixtures.write_scared_prepared,
        "af": fixtures.write_scared_af,
    }
    write[writer](folder, phantom)
    name = "train/dataset7/keyframe4"
    assert_frames(ScaredSource(tmp_path).read(name), phantom, sequence=name, intrinsics=1e-6)


def test_hamlyn_gives_back_depth_in_whole_millimetres(phantom, tmp_path):
    fixtures.write_hamlyn(tmp_path / "rectified04", phantom)
    for got, want in zip(HamlynSource(tmp_path).read("rectified04"), phantom, strict=True):
        np.testing.assert_array_equal(got.depth_mm, np.round(want.depth_mm))
        assert np.abs(got.frame.astype(int) - want.frame).mean() < 3


def test_c3vd_gives_back_what_was_written_within_its_depth_range(phantom, tmp_path):
    camera = resized_intrinsics(PINHOLE, NATIVE_SIZE, (64, 80))
    truth = [
        dataclasses.replace(f, intrinsics=camera, depth_mm=np.where(f.depth_mm < 100, f.depth_mm, np.float32(0)))
        for f in phantom
    ]
    fixtures.write_c3vd(tmp_path / "trans_t1_a", truth)
    assert_frames(C3vdSource(tmp_path).read("trans_t1_a"), truth, sequence="trans_t1_a", depth=100 / 65535, pose=2e-5)


def test_simcol3d_gives_back_what_was_written(phantom, tmp_path):
    name = "SyntheticColon_I/Frames_S1"
    fixtures.write_simcol3d(tmp_path / name, phantom)
    assert_frames(Simcol3dSource(tmp_path).read(name), phantom, sequence=name, depth=200 / 65280, pose=2e-5)


def test_own_frames_give_back_what_was_written(phantom, tmp_path):
    camera = np.eye(3)
    camera[[0, 1, 0, 1], [0, 1, 2, 2]] = phantom[0].intrinsics
    for frame in phantom:
        fixtures.write_png(tmp_path / f"case/frames/{frame.frame_index:04d}.png", frame.frame)
        (tmp_path / "case/depth").mkdir(exist_ok=True)
        np.save(tmp_path / f"case/depth/{frame.frame_index:04d}.npy", frame.depth_mm)
    poses = np.stack([frame.cam_from_world for frame in phantom])
    np.savez(tmp_path / "case/geometry.npz", intrinsics=camera, world_to_camera=poses)
    assert_frames(FramesSource(tmp_path).read("case"), phantom, sequence="case")
