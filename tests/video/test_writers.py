"""What is written reads back: videos, lossless depth, point clouds; nothing half-written stays."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import OpenEXR
import plyfile
import pytest
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video import depth_files
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.point_cloud import ply_writer
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import moving_picture


@pytest.fixture
def frame() -> DepthFrame:
    """A frame of 5x7 with two pixels outside the view."""
    depth = np.linspace(1, 100, 35, dtype=np.float32).reshape(5, 7)
    disparity = 1 / depth
    depth[0, :2] = disparity[0, :2] = 0
    return DepthFrame(3, disparity, depth, moving_picture(0, 5, 7))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 61)])
def test_a_video_keeps_count_rate_and_colours_and_makes_odd_sizes_even(tmp_path, height, width):
    pictures = [moving_picture(i, height, width) for i in range(8)]
    with mp4_writer(tmp_path / "v.mp4", Fraction(30000, 1001)) as write:
        for picture in pictures:
            write(picture)
    video = VideoFile(tmp_path / "v.mp4")
    assert (video.count, video.fps) == (8, Fraction(30000, 1001))
    assert video.size == (height + height % 2, width + width % 2)
    for read, picture in zip(video, pictures, strict=True):
        difference = read.rgb[:height, :width].astype(int) - picture
        assert np.abs(difference).mean() < 3


def test_the_four_primary_colours_survive(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    colours = [(200, 30, 30), (20, 180, 90), (30, 60, 220), (230, 230, 230)]
    for i, colour in enumerate(colours):
        picture[:, 16 * i : 16 * i + 16] = colour
    with mp4_writer(tmp_path / "c.mp4", Fraction(25)) as write:
        write(picture)
    (read,) = VideoFile(tmp_path / "c.mp4")
    np.testing.assert_allclose(read.rgb[16, 8::16], colours, atol=4)


def test_frames_can_be_shown_at_their_own_times(tmp_path):
    times = [0.0, 0.031, 0.2, 0.21, 0.9]
    with mp4_writer(tmp_path / "t.mp4", Fraction(30)) as write:
        for i, time in enumerate(times):
            write(moving_picture(i), time)
    np.testing.assert_allclose([frame.time for frame in VideoFile(tmp_path / "t.mp4")], times, atol=1e-4)


def test_an_error_leaves_no_file(tmp_path, frame):
    with pytest.raises(RuntimeError), mp4_writer(tmp_path / "v.mp4", Fraction(25)) as write:
        write(moving_picture(0))
        raise RuntimeError
    with pytest.raises(RuntimeError), depth_files.png_writer(tmp_path / "png", 256.0) as save:
        save(frame)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from endodav_jax.errors import UserError
from endodav_jax.video.encoder import mp4_writer
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with mp4_writer(Path(sys.argv[1]), Fraction(25)) as write:
        for i in range(int(sys.argv[2])):
            write(np.random.default_rng(i).integers(0, 255, (120, 160, 3), dtype=np.uint8))
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("count", [5, 200], ids=["at the end", "on the way"])
def test_a_video_that_finds_no_space_is_one_line_and_leaves_no_file(tmp_path, count):
    """A limit on the size of files stands for a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "v.mp4"), str(count)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/v.mp4: cannot be written (File too large); free space or choose another folder\n"
    assert list(tmp_path.iterdir()) == []


def test_npz_reads_like_any_other(tmp_path):
    maps = np.random.default_rng(0).random((2, 6, 5, 7)).astype(np.float32)
    intrinsics = np.array([50.0, 51.0, 3.0, 2.0])
    indices = [0, 2, 4, 6, 8, 10]
    depth_files.write_npz(
        tmp_path / "d.npz",
        (5, 7),
        indices,
        {"disparities": lambda: iter(maps[0]), "depths": lambda: iter(maps[1])},
        Fraction(25, 2),
        intrinsics,
    )
    with np.load(tmp_path / "d.npz", allow_pickle=False) as file:
        assert set(file.files) == {"depths", "disparities", "fps", "intrinsics", "frame_index"}
        np.testing.assert_array_equal(file["disparities"], maps[0])
        np.testing.assert_array_equal(file["depths"], maps[1])
        np.testing.assert_array_equal(file["frame_index"], indices)
        np.testing.assert_array_equal(file["intrinsics"], intrinsics)
        assert file["fps"] == 12.5
        assert file["depths"].dtype == np.float32


def test_png_holds_depth_in_steps_and_zero_outside(tmp_path, frame):
    with depth_files.png_writer(tmp_path / "png", 256.0) as save:
        save(frame)
    values = np.asarray(Image.open(tmp_path / "png" / "frame_00003.png"))
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, np.rint(frame.depth * 256).astype(np.uint16))
    assert (values[0, :2] == 0).all()
    assert json.loads((tmp_path / "png" / "scale.json").read_text())["scale"] == 256.0


def test_png_steps_that_do_not_fit_are_the_nearest_that_do(tmp_path):
    depth = np.array([[0, 1e-6, 1, 1000]], np.float32)
    with depth_files.png_writer(tmp_path / "png", 256.0) as save:
        save(DepthFrame(0, depth, depth))
    assert np.asarray(Image.open(tmp_path / "png" / "frame_00000.png")).tolist() == [[0, 1, 256, 65535]]


@pytest.mark.parametrize(("deepest", "scale"), [(150.0, 256.0), (255.9, 256.0), (256.0, 128.0), (0.5, 65536.0)])
def test_the_scale_chosen_is_the_largest_power_of_two_that_fits(deepest, scale):
    assert depth_files.png_scale(deepest) == scale


def test_npy_tiff_and_exr_are_exact(tmp_path, frame):
    for kind in ("npy", "tiff", "exr"):
        with getattr(depth_files, f"{kind}_writer")(tmp_path / kind) as save:
            save(frame)
    np.testing.assert_array_equal(np.load(tmp_path / "npy" / "frame_00003.npy"), frame.depth)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "tiff" / "frame_00003.tiff"), frame.depth)
    with OpenEXR.File(str(tmp_path / "exr" / "frame_00003.exr")) as file:
        assert list(file.channels()) == ["Z"]
        np.testing.assert_array_equal(file.channels()["Z"].pixels, frame.depth)


def test_exr_without_its_package_is_one_line(monkeypatch):
    monkeypatch.setattr(depth_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'endodav-jax\[exr\]'"):
        depth_files.need_exr()


def test_points_project_back_onto_their_pixels_with_their_colours(tmp_path, frame):
    fx, fy, cx, cy = intrinsics = np.array([6.0, 5.0, 3.2, 1.9])
    with ply_writer(tmp_path / "ply", intrinsics, "intrinsics given") as save:
        save(frame)
    ply = plyfile.PlyData.read(tmp_path / "ply" / "frame_00003.ply")
    points = ply["vertex"].data
    assert len(points) == 33
    u = np.rint(points["x"] / points["z"] * fx + cx).astype(int)
    v = np.rint(points["y"] / points["z"] * fy + cy).astype(int)
    np.testing.assert_array_equal(points["z"], frame.depth[v, u])
    np.testing.assert_array_equal(points["green"], frame.rgb[v, u, 1])
    assert len({*zip(u, v, strict=True)}) == 33
    assert "intrinsics given" in ply.comments


def test_a_folder_takes_the_place_of_an_older_one(tmp_path, frame):
    for index in (3, 4):
        with depth_files.npy_writer(tmp_path / "npy") as save:
            save(DepthFrame(index, frame.disparity, frame.depth))
    assert [path.name for path in (tmp_path / "npy").iterdir()] == ["frame_00004.npy"]
