"""A user's own wide lens, resampled once to a pinhole, and the masks of frames beside a sequence."""

import json

import numpy as np
import pytest

from endodav_jax.cli import main
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.errors import UserError
from endodav_jax.video.lenses import OpenCVLens
from tests.data import fixtures
from tests.data.scene import cam_from_world_at, render_frame, render_truth

HEIGHT, WIDTH = 96, 128
LENS = OpenCVLens(np.array([80.0, 81.0, 62.0, 49.0]), (0.05, -0.02, 0.01, -0.003), fisheye=True)
CAMERA = {"fx": 80.0, "fy": 81.0, "cx": 62.0, "cy": 49.0, "model": "fisheye", "distortion": list(LENS.distortion)}


@pytest.fixture(scope="module")
def truth():
    """The same world through the lens and through its pinhole."""

    def through(rays):
        return [
            render_frame(cam_from_world_at(i), LENS.intrinsics, HEIGHT, WIDTH, frame_index=i, sequence="s", rays=rays)
            for i in range(3)
        ]

    return through(LENS.ray_grid((HEIGHT, WIDTH))), through(None)


def write(folder, frames, camera=CAMERA):
    for frame in frames:
        fixtures.write_png(folder / f"frames/{frame.frame_index:06d}.png", frame.frame)
        (folder / "depth").mkdir(exist_ok=True)
        np.save(folder / f"depth/{frame.frame_index:06d}.npy", frame.depth_mm)
    if camera:
        (folder / "intrinsics.json").write_text(json.dumps(camera))
    return folder


def test_frames_and_depth_become_those_of_the_pinhole(truth, tmp_path):
    distorted, wanted = truth
    write(tmp_path / "s", distorted)
    for got, want in zip(FramesSource(tmp_path / "s", undistort=True).read("s"), wanted, strict=True):
        np.testing.assert_array_equal(got.intrinsics, LENS.intrinsics)
        assert got.view_mask.mean() > 0.95
        assert np.abs(got.frame[got.view_mask].astype(float) - want.frame[got.view_mask]).mean() < 1.0
        both = got.view_mask & (got.depth_mm > 0)
        assert np.median(np.abs(got.depth_mm - want.depth_mm)[both]) < 0.1
    raw = next(FramesSource(tmp_path / "s").read("s"))
    np.testing.assert_array_equal(raw.frame, distorted[0].frame)
    assert np.abs(raw.frame.astype(float) - wanted[0].frame).mean() > 2.0


def test_what_resampling_costs_is_said_and_what_is_ignored_too(truth, tmp_path):
    write(tmp_path / "s", truth[0])
    (note,) = FramesSource(tmp_path / "s", undistort=True).describe("s").notes
    assert note.startswith("s: undistorted to a pinhole: 77 of ")
    assert "% of the view's pixels lie outside" in note
    info = FramesSource(tmp_path / "s").describe("s")
    for said in (info.odd, info.notes):
        assert any("distorted, which is ignored; resample" in line for line in said)


def test_without_distortion_there_is_nothing_to_undistort(truth, tmp_path):
    write(tmp_path / "s", truth[1], camera={k: CAMERA[k] for k in ("fx", "fy", "cx", "cy")})
    write(tmp_path / "t", truth[1], camera=None)
    for name in ("s", "t"):
        with pytest.raises(UserError, match=f"{name}: no distortion of its camera is known"):
            FramesSource(tmp_path / name, undistort=True).describe(name)


def test_colmaps_lens_is_taken_and_its_points_stay_on_the_surface(truth, tmp_path):
    distorted, wanted = truth
    write(tmp_path / "s", distorted[:1], camera=None)
    for path in (tmp_path / "s/depth").iterdir():
        path.unlink()
    (tmp_path / "s/depth").rmdir()
    model = tmp_path / "s/sparse"
    model.mkdir()
    parameters = " ".join(map(str, (80.0, 81.0, 62.5, 49.5, *LENS.distortion)))
    (model / "cameras.txt").write_text(f"1 OPENCV_FISHEYE {WIDTH} {HEIGHT} {parameters}\n")
    rays, depth = LENS.ray_grid((HEIGHT, WIDTH)), distorted[0].depth_mm
    places = [(v, u) for v in range(3, HEIGHT, 12) for u in range(3, WIDTH, 12)]
    points = [rays[v, u] * depth[v, u] for v, u in places]  # frame 0 is the world
    (model / "points3D.txt").write_text("".join(f"{i} {x} {y} {z} 0 0 0 0\n" for i, (x, y, z) in enumerate(points)))
    seen = " ".join(f"{u + 0.5} {v + 0.5} {i}" for i, (v, u) in enumerate(places))
    (model / "images.txt").write_text(f"1 1 0 0 0 0 0 0 1 000000.png\n{seen}\n")
    got = next(FramesSource(tmp_path / "s", undistort=True).read("s"))
    known = got.depth_mm > 0
    assert 0.3 * len(places) < known.sum() < len(places)
    # A point falls on a whole pixel, where the pinhole sees the same surface, to within that pixel's slope.
    assert np.median(np.abs(got.depth_mm - wanted[0].depth_mm)[known]) < 0.3


def test_a_prepared_set_keeps_the_way_back(truth, tmp_path, capsys):
    write(tmp_path / "s", truth[0])
    assert main(["prepare", "frames", str(tmp_path / "s"), str(tmp_path / "out"), "--split", "all", "--undistort",
                 "--quiet"]) == 0  # fmt: skip
    assert "of the view's pixels lie outside" in capsys.readouterr().err
    videos = EvaluationVideos(tmp_path / "out", "all")
    way = videos.split.undistorter("s")
    frame = next(videos.frames("s"))
    back = way.back(frame.depth_mm)
    shown = way.back(frame.view_mask) & (back > 0)
    assert shown.mean() > 0.5
    assert np.median(np.abs(back - truth[0][0].depth_mm)[shown]) < 0.2
    main(["prepare", "frames", str(tmp_path / "s"), str(tmp_path / "raw"), "--split", "all", "--quiet"])
    assert EvaluationVideos(tmp_path / "raw", "all").split.undistorter("s") is None


SMALL = 5


@pytest.fixture(scope="module")
def small():
    return render_truth(SMALL)


def mask_of(index: int) -> np.ndarray:
    """bool [48, 64]: a block that moves is left out."""
    mask = np.ones((48, 64), bool)
    mask[8:24, 8 * index : 8 * index + 16] = False
    return mask


def write_small(folder, truth):
    for frame in truth:
        fixtures.write_png(folder / f"{frame.frame_index:06d}.png", frame.frame)


def write_masks(folder, name="{:06d}.png", first=0, value=255):
    for i in range(SMALL):
        fixtures.write_png(folder / name.format(i + first), np.where(mask_of(i), value, 0).astype(np.uint8))


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("name", ["{:06d}.png", "{:06d}_mask.png", "m{}.png"])
def test_masks_beside_images_go_with_their_frames(small, tmp_path, name, value):
    write_small(tmp_path / "s/frames", small)
    write_masks(tmp_path / "s/masks", name, value=value)
    source = FramesSource(tmp_path / "s")
    assert source.describe("s").has_frame_masks
    for i, frame in enumerate(source.read("s")):
        np.testing.assert_array_equal(frame.frame_mask, mask_of(i))


@pytest.mark.parametrize("place", ["masks", "case_masks", "masks/case"])
@pytest.mark.parametrize("first", [0, 1])
def test_masks_beside_a_video(small, tmp_path, place, first):
    fixtures.write_video(tmp_path / "case.mp4", [frame.frame for frame in small], lossless=True)
    write_masks(tmp_path / place, first=first)
    source = FramesSource(tmp_path)
    assert source.sequences("all") == ["case"]
    for i, frame in enumerate(source.read("case")):
        np.testing.assert_array_equal(frame.frame_mask, mask_of(i))


@pytest.mark.parametrize("name", ["masks.mp4", "case_masks.mkv"])
def test_masks_may_come_as_a_video(small, tmp_path, name):
    fixtures.write_video(tmp_path / "case.mp4", [frame.frame for frame in small], lossless=True)
    masks = [np.repeat(np.where(mask_of(i), 255, 0).astype(np.uint8)[..., None], 3, -1) for i in range(SMALL)]
    fixtures.write_video(tmp_path / name, masks)
    source = FramesSource(tmp_path)
    assert source.sequences("all") == ["case"]
    for i, frame in enumerate(source.read("case", only={1, 4})):
        assert (frame.frame_mask != mask_of((1, 4)[i])).mean() < 0.01


def test_frames_without_a_mask_count_whole_and_that_is_said(small, tmp_path):
    write_small(tmp_path / "s/frames", small)
    write_masks(tmp_path / "s/masks")
    (tmp_path / "s/masks/000002.png").unlink()
    source = FramesSource(tmp_path / "s")
    assert "1 of 5 frames have no mask in masks; they count whole" in source.describe("s").odd
    assert [frame.frame_mask is None for frame in source.read("s")] == [False, False, True, False, False]


def test_masks_that_do_not_fit_are_named_and_can_be_passed_over(small, tmp_path):
    write_small(tmp_path / "s/frames", small)
    fixtures.write_png(tmp_path / "s/masks/other.png", np.ones((48, 64), np.uint8))
    with pytest.raises(UserError, match="masks are not named after the 5 frames"):
        FramesSource(tmp_path / "s").describe("s")
    assert not FramesSource(tmp_path / "s", masks="none").describe("s").has_frame_masks
    write_masks(tmp_path / "small")
    fixtures.write_png(tmp_path / "small/000000.png", np.ones((8, 8), np.uint8))
    with pytest.raises(UserError, match="the masks are 8x8, the frames 64x48"):
        next(FramesSource(tmp_path / "s", masks=str(tmp_path / "small")).read("s"))
    with pytest.raises(UserError, match="no such folder or video of masks"):
        FramesSource(tmp_path / "s", masks=str(tmp_path / "nowhere")).describe("s")


def test_prepared_records_and_batches_carry_the_masks(small, tmp_path):
    from endodav_jax.data.config import DataConfig
    from endodav_jax.data.pipeline import ClipBatches

    write_small(tmp_path / "s/frames", small)
    write_masks(tmp_path / "s/masks")
    out = tmp_path / "out"
    assert main(["prepare", "frames", str(tmp_path / "s"), str(out), "--split", "train", "--full-size", "--quiet"]) == 0
    for i, frame in enumerate(EvaluationVideos(out, "train").frames("s")):
        np.testing.assert_array_equal(frame.frame_mask, mask_of(i))
        np.testing.assert_array_equal(frame.counted, frame.view_mask & mask_of(i))
    config = DataConfig(path=str(out), clip_length=3, mirror_probability=0.0)
    with ClipBatches(config, seed=0) as batches:
        batch = next(batches)
    np.testing.assert_array_equal(batch["frame_mask"][0], [mask_of(i) for i in batch["frame_index"][0]])
    with ClipBatches(DataConfig(path=str(out), clip_length=3, mirror_probability=1.0), seed=0) as batches:
        batch = next(batches)
    np.testing.assert_array_equal(batch["frame_mask"][0], [mask_of(i)[:, ::-1] for i in batch["frame_index"][0]])


def test_smaller_records_keep_only_pixels_that_are_whole(small, tmp_path):
    write_small(tmp_path / "s/frames", small)
    write_masks(tmp_path / "s/masks")
    out = tmp_path / "out"
    main(["prepare", "frames", str(tmp_path / "s"), str(out), "--split", "all", "--size", "24x32", "--quiet"])
    for i, frame in enumerate(EvaluationVideos(out, "all").frames("s")):
        np.testing.assert_array_equal(frame.frame_mask, mask_of(i)[::2, ::2])
