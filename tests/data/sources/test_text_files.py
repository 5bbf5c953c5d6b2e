"""Files of text that a user gives: binary ones in their place are one line, whichever reader meets them."""

from pathlib import Path

import pytest

from endodav_jax.data.sources import c3vd, simcol3d
from endodav_jax.data.sources.colmap import read_colmap
from endodav_jax.data.sources.hamlyn import _own_intrinsics
from endodav_jax.data.sources.trajectories import poses_as_written
from endodav_jax.data.splits.lists import read_frame_list, read_sequence_list
from endodav_jax.depth_video.recordings import read_list
from endodav_jax.errors import UserError
from endodav_jax.scale.sources import read_points
from endodav_jax.scale.stereo import read_calibration
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.intrinsics import read_intrinsics

BINARY = bytes(range(256)) * 4
SIZE = (96, 128)
READERS = {
    "poses.txt": poses_as_written,
    "cameras.txt": lambda path: read_colmap(path.parent, ["a.png"]),
    "pose.txt": c3vd.read_poses,
    "SavedPosition_S1.txt": lambda path: simcol3d.read_poses(path.parent / "Frames_S1"),
    "intrinsics.txt": lambda path: _own_intrinsics(path.parent, path.parent),
    "sequences.txt": read_sequence_list,
    "frames.txt": read_frame_list,
    "list.txt": read_list,
    "points.txt": read_points,
    "calibration.yaml": lambda path: read_calibration(path, SIZE),
    "camera.json": lambda path: read_camera(str(path), SIZE, SIZE),
    "camera.dat": lambda path: read_intrinsics(str(path), SIZE, SIZE),
}


@pytest.mark.parametrize("name", READERS)
def test_a_binary_file_in_place_of_a_text_is_one_line_with_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(BINARY)
    with pytest.raises(UserError) as error:
        READERS[name](Path(tmp_path / name))
    assert str(tmp_path / name) in str(error.value)
    assert "cannot be read (not text); " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "# fx fy cx cy\n\n"])
def test_an_empty_file_of_intrinsics_is_one_line_and_no_warning(tmp_path, text):
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(UserError, match=r"empty\.txt: is empty; give"):
        read_intrinsics(str(tmp_path / "empty.txt"), SIZE, SIZE)


@pytest.mark.parametrize("name", ["k.npy", "k.npz"])
def test_an_empty_array_file_of_intrinsics_is_one_line(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"{name}: not numbers"):
        read_intrinsics(str(tmp_path / name), SIZE, SIZE)
