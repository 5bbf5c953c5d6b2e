"""`endodav infer` and `stream` with metric networks, distorted cameras and masks of single frames."""

import contextlib
import io
import json
import re
import shutil

import numpy as np
import plyfile
import pytest
from PIL import Image

from endodav_jax import cli
from endodav_jax.depth_video import run as infer_run
from endodav_jax.depth_video import stream as stream_run
from endodav_jax.errors import EXIT_SOME_FAILED
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.frame_masks import FrameMasks
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.lenses import OpenCVLens
from endodav_jax.video.point_cloud import points_of
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import load_fake, luminance, moving_picture, write_video

FRAMES = 6


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(FRAMES)))


@pytest.fixture
def infer(monkeypatch, tmp_path):
    monkeypatch.setattr(infer_run, "load_estimator", load_fake)

    def run(*arguments, code=0) -> dict:
        assert cli.main(["infer", *map(str, arguments), "-o", str(tmp_path / "out"), "--quiet"]) == code
        files = {path.name: path for path in (tmp_path / "out").iterdir()}
        return {"meta": json.loads(next(p for n, p in files.items() if n.endswith("meta.json")).read_text()), **files}

    return run


def seen(video):
    return [luminance(frame.rgb) for frame in VideoFile(video)]


@pytest.mark.parametrize(
    "named", [["--weights", "metric_video_depth_anything_vits"], ["--output-kind", "metric_depth"]]
)
def test_metric_depth_is_written_as_it_is_in_metres(infer, video, named):
    found = infer(video, "--save", "npz,npy,png16,exr,ply", *named)
    with np.load(found["clip_depths.npz"]) as file:
        np.testing.assert_array_equal(file["depths"], seen(video))
        assert "disparities" not in file
    np.testing.assert_array_equal(np.load(found["clip_depths_npy"] / "frame_00002.npy"), seen(video)[2])
    meta = found["meta"]
    assert meta["output"] == meta["model"]["output"] == "metric_depth"
    assert "metres" in meta["units"]["depths"]
    assert meta["range"]["depths"] == [np.min(seen(video)), np.max(seen(video))]
    scale = json.loads((found["clip_depths_png"] / "scale.json").read_text())
    assert scale["unit"] == "in metres"
    values = np.asarray(Image.open(found["clip_depths_png"] / "frame_00002.png"), np.float64) / scale["scale"]
    np.testing.assert_allclose(values, seen(video)[2], atol=1 / scale["scale"])
    cloud = plyfile.PlyData.read(found["clip_points_ply"] / "frame_00002.ply")
    np.testing.assert_allclose(cloud["vertex"]["z"], seen(video)[2].ravel(), rtol=1e-6)
    assert any("in metres" in comment for comment in cloud.comments)


def test_near_is_bright_in_the_colours_of_metric_depth(infer, video):
    found = infer(video, "--weights", "metric", "--cmap", "gray", "--save", "none")
    shown = [frame.rgb.mean(axis=-1) for frame in VideoFile(found["clip_vis.mp4"])]
    correlation = np.corrcoef(np.ravel(shown), np.ravel(seen(video)))[0, 1]
    assert correlation < -0.99
    assert found["meta"]["colours"]["of"] == "depths, near is bright"


def test_a_relative_networks_outputs_are_as_before(infer, video):
    found = infer(video)
    assert found["meta"]["output"] == "disparity"
    with np.load(found["clip_depths.npz"]) as file:
        np.testing.assert_array_equal(file["depths"], depth_from_disparity(np.array(seen(video))))
    assert found["meta"]["frame_masks"] is None
    assert "lens" not in found["meta"]["intrinsics"]


def test_a_stream_writes_metric_depth_as_it_is(monkeypatch, tmp_path, video):
    monkeypatch.setattr(stream_run, "load_estimator", load_fake)
    arguments = ["stream", str(video), "-o", str(tmp_path / "out"), "--save", "npy,vis", "--quiet"]
    assert cli.main([*arguments, "--weights", "metric", "--range", "0,1", "--cmap", "gray"]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out/clip_depths_npy/frame_00003.npy"), seen(video)[3])
    shown = [frame.rgb.mean(axis=-1) for frame in VideoFile(tmp_path / "out/clip_vis.mp4")]
    assert np.corrcoef(np.ravel(shown), np.ravel(seen(video)))[0, 1] < -0.97


LENS = OpenCVLens(np.array([40.0, 41.0, 31.0, 24.0]), (0.02, -0.01, 0.0, 0.0), fisheye=True)


def test_points_lie_on_the_rays_of_a_distorted_lens(infer, video, tmp_path):
    camera = {"fx": 40.0, "fy": 41.0, "cx": 31.0, "cy": 24.0, "model": "fisheye", "distortion": list(LENS.distortion)}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    found = infer(video, "--intrinsics", tmp_path / "camera.json", "--save", "ply,npz")
    vertex = plyfile.PlyData.read(found["clip_points_ply"] / "frame_00001.ply")["vertex"]
    points = np.stack([vertex["x"], vertex["y"], vertex["z"]], -1)
    rays = LENS.ray_grid((48, 64))
    np.testing.assert_allclose(points / points[:, 2:], rays.reshape(-1, 3), rtol=1e-4, atol=1e-5)
    assert found["meta"]["intrinsics"]["lens"]["model"] == "fisheye"
    half = infer(video, "--intrinsics", tmp_path / "camera.json", "--save", "ply", "--max-res", "32", "--overwrite")
    vertex = plyfile.PlyData.read(half["clip_points_ply"] / "frame_00001.ply")["vertex"]
    points = np.stack([vertex["x"], vertex["y"], vertex["z"]], -1)
    rays = LENS.scaled(0.5, 0.5).ray_grid((24, 32))
    np.testing.assert_allclose(points / points[:, 2:], rays.reshape(-1, 3), rtol=1e-4, atol=1e-5)


def test_pixels_that_a_lens_does_not_look_through_give_no_points():
    depth = np.full((2, 3), 5.0, np.float32)
    rays = np.ones((2, 3, 3))
    rays[0, 0] = np.inf
    frame = DepthFrame(0, depth, depth, np.zeros((2, 3, 3), np.uint8))
    assert len(points_of(frame, np.ones(4), rays)) == 5


@pytest.mark.parametrize(("scale", "told"), [("1e9", "does not fit into 16 bits"), ("1e-9", "is less than one step")])
def test_a_scale_of_pngs_that_leaves_nothing_of_depth_is_refused_with_the_largest(infer, video, tmp_path, scale, told):
    for weights in ([], ["--weights", "metric"]):
        arguments = ["infer", str(video), "--save", "png16", "-o", str(tmp_path / "png"), "--quiet", *weights]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert cli.main([*arguments, "--png-scale", scale]) == 2
        assert told in said.getvalue()
        assert said.getvalue().count("\n") == 1
        assert not (tmp_path / "png").exists()
        largest = re.search(r"give (\S+) at most", said.getvalue())[1]
        assert cli.main([*arguments, "--png-scale", largest, "--overwrite"]) == 0
        values = [np.asarray(Image.open(file)) for file in (tmp_path / "png/clip_depths_png").glob("*.png")]
        assert 65000 < np.max(values) <= 65535
        shutil.rmtree(tmp_path / "png")


def mask_of(index: int) -> np.ndarray:
    mask = np.ones((48, 64), bool)
    mask[10:30, 5 * index : 5 * index + 20] = False
    return mask


def write_masks(folder):
    folder.mkdir(parents=True)
    for i in range(FRAMES):
        Image.fromarray(np.where(mask_of(i), 255, 0).astype(np.uint8)).save(folder / f"{i}.png")


def test_masks_beside_a_video_reach_the_fits_and_on_request_the_outputs(infer, video, tmp_path):
    plain = infer(video, "--masks", "none")
    with np.load(plain["clip_depths.npz"]) as file:
        depths = file["depths"]
    write_masks(tmp_path / "masks")
    found = infer(video, "--overwrite")
    assert found["meta"]["frame_masks"]["from"] == str(tmp_path / "masks")
    with np.load(found["clip_depths.npz"]) as file:  # the fake network has no windows to fit
        np.testing.assert_array_equal(file["depths"], depths)
    masked = infer(video, "--overwrite", "--mask-outputs", "--save", "npz,npy,png16,ply", "--cmap", "inferno")
    masks = np.stack([mask_of(i) for i in range(FRAMES)])
    with np.load(masked["clip_depths.npz"]) as file:
        np.testing.assert_array_equal(file["depths"], np.where(masks, depths, 0))
        np.testing.assert_array_equal(file["disparities"] == 0, ~masks)
        assert masked["meta"]["range"]["disparities"] == [
            file["disparities"][masks].min(), file["disparities"][masks].max()
        ]  # fmt: skip
    assert (np.asarray(Image.open(masked["clip_depths_png"] / "frame_00003.png")) == 0).sum() == (~mask_of(3)).sum()
    vertex = plyfile.PlyData.read(masked["clip_points_ply"] / "frame_00003.ply")["vertex"]
    assert len(vertex["x"]) == mask_of(3).sum()
    colours = [frame.rgb for frame in VideoFile(masked["clip_vis.mp4"])]
    assert colours[3][15:25, 20:30].max() < 30  # black


def test_masks_follow_the_frames_that_are_taken(infer, video, tmp_path):
    write_masks(tmp_path / "masks")
    found = infer(video, "--target-fps", "12.5", "--max-res", "32", "--mask-outputs", "--range", "percentile")
    with np.load(found["clip_depths.npz"]) as file:
        assert list(file["frame_index"]) == [0, 2, 4]
        for index, depth in zip(file["frame_index"], file["depths"], strict=True):
            outside = depth == 0
            assert 0.8 < outside.sum() / (~mask_of(index)).sum() * 4 < 1.3


def test_a_frame_that_is_masked_whole_leaves_the_range_alone(infer, video, tmp_path):
    write_masks(tmp_path / "masks")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "masks/2.png")
    found = infer(video, "--mask-outputs", "--save", "npz,png16")
    with np.load(found["clip_depths.npz"]) as file:
        assert not file["depths"][2].any()
    assert found["meta"]["range"]["disparities"][0] > 0


def test_frames_without_a_mask_are_said_on_the_terminal_and_in_the_description(infer, video, tmp_path, capsys):
    write_masks(tmp_path / "masks")
    (tmp_path / "masks/0.png").unlink()
    (tmp_path / "masks/3.png").unlink()
    notes = infer(video)["meta"]["frame_masks"]["notes"]
    assert "counting from 0" in notes[0]
    assert notes[1] == "2 of 6 frames have no mask in masks; they count whole"
    assert cli.main(["infer", str(video), "-o", str(tmp_path / "again"), "--videos", "none"]) == 0
    assert notes[1] in capsys.readouterr().err


def test_masks_that_leave_no_pixel_are_refused(infer, video, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    for i in range(FRAMES):
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / f"masks/{i}.png")
    assert infer(video)["meta"]["frame_masks"]["outputs"] is False  # only the alignment of windows leaves them out
    arguments = ["infer", str(video), "-o", str(tmp_path / "none"), "--quiet", "--mask-outputs"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'masks'}: no pixel of any frame is left" in error
    assert error.count("\n") == 1
    assert not list((tmp_path / "none").glob("*"))


def test_the_folder_one_is_in_can_be_named(infer, tmp_path, monkeypatch):
    (tmp_path / "frames").mkdir()
    for i in range(3):
        Image.fromarray(moving_picture(i)).save(tmp_path / f"frames/{i}.png")
    monkeypatch.chdir(tmp_path / "frames")
    assert infer(".")["meta"]["frames"] == 3


def test_a_wish_to_mask_outputs_without_masks_is_said_to_do_nothing(infer, video, tmp_path, capsys):
    assert cli.main(["infer", str(video), "-o", str(tmp_path / "out"), "--mask-outputs"]) == 0
    assert "--mask-outputs: no masks are beside it" in capsys.readouterr().err


def test_masks_that_end_too_early_are_one_line(infer, video, tmp_path, capsys):
    frames = [np.full((48, 64, 3), 255, np.uint8)] * 3
    masks = write_video(tmp_path / "m.mp4", frames)
    monkey = ["infer", str(video), "--masks", str(masks), "-o", str(tmp_path / "out"), "--quiet"]
    assert cli.main(monkey) == 2
    error = capsys.readouterr().err
    assert "m.mp4: ends before frame 3; give a mask for every frame" in error
    assert error.count("\n") == 1
    assert not list((tmp_path / "out").glob("clip*"))


def test_where_a_video_of_masks_breaks_off_all_outputs_end(infer, video, tmp_path, monkeypatch):
    masks = write_video(tmp_path / "m.mp4", [np.full((48, 64, 3), 255, np.uint8)] * FRAMES)
    whole = FrameMasks.reader

    def breaks_off(self):
        of = whole(self)

        def mask(number):
            if number == 4:
                raise ReadingStopped("m.mp4: reading stopped after 4 frames")
            return of(number)

        return mask

    monkeypatch.setattr(FrameMasks, "reader", breaks_off)
    found = infer(video, "--masks", masks, "--videos", "src,vis", "--save", "npz,npy", code=EXIT_SOME_FAILED)
    assert (found["meta"]["frames"], found["meta"]["complete"]) == (4, False)
    with np.load(found["clip_depths.npz"]) as file:
        assert len(file["depths"]) == 4
    assert len(list(found["clip_depths_npy"].iterdir())) == 4
    assert [len(list(VideoFile(found[f"clip_{kind}.mp4"]))) for kind in ("src", "vis")] == [4, 4]


def test_a_picture_in_the_picture_is_named_on_the_terminal_and_in_the_description(infer, tmp_path, monkeypatch, capsys):
    def frame(i):
        picture = moving_picture(5 * i, 240, 320)
        picture[150:222, 210:306] = 255 - moving_picture(40 - 2 * i, 72, 96)
        return picture

    video = write_video(tmp_path / "pip.mp4", map(frame, range(20)))
    (note,) = infer(video, "--mask", "auto", "--save", "none")["meta"]["mask"]["notes"]
    assert "a picture in the picture" in note
    assert cli.main(["infer", str(video), "--mask", "auto", "-o", str(tmp_path / "again"), "--videos", "none"]) == 0
    assert "a picture in the picture" in capsys.readouterr().err
