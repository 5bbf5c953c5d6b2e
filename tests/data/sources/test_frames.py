"""A user's own endoscope: videos, folders, cameras, poses, depth and points in the forms people have."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from endodav_jax.data.sources.frames import FramesSource, sparse_depth
from endodav_jax.errors import UserError
from endodav_jax.geometry.poses import inverse_rigid
from tests.data import fixtures
from tests.data.scene import render_truth
from tests.data.sources.compare import assert_frames

SINUS = Path(__file__).parents[4] / "shared/data/sinus"


@pytest.fixture(scope="module")
def truth():
    return render_truth(5)


def write_images(folder, truth, name="{:06d}.png"):
    for frame in truth:
        fixtures.write_png(folder / name.format(frame.frame_index), frame.frame)
    return folder


def write_depth(folder, truth):
    folder.mkdir(parents=True)
    for frame in truth:
        np.save(folder / f"{frame.frame_index:06d}.npy", frame.depth_mm)


def write_kitti(path, truth):
    rows = [inverse_rigid(frame.cam_from_world)[:3].reshape(-1) for frame in truth]
    path.write_text("\n".join(" ".join(f"{x:.17g}" for x in row) for row in rows))


def write_tum(path, truth, times):
    rows = []
    for frame, time in zip(truth, times, strict=True):
        pose = inverse_rigid(frame.cam_from_world)
        rows.append([time, *pose[:3, 3], *fixtures.quaternion_of(pose[:3, :3])])
    path.write_text("# t tx ty tz qx qy qz qw\r\n" + "\r\n".join(" ".join(f"{x:.17g}" for x in row) for row in rows))


def camera_text(truth):
    return ",".join(f"{x!r}" for x in truth[0].intrinsics.tolist())


@pytest.mark.parametrize("inner", ["", "frames", "images"])
def test_a_folder_with_everything_beside_its_frames_is_read_in_full(inner, truth, tmp_path):
    root = tmp_path / "patient1"
    write_images(root / inner, truth)
    write_depth(root / "depth", truth)
    write_kitti(root / "poses.txt", truth)
    fx, fy, cx, cy = truth[0].intrinsics
    (root / "intrinsics.json").write_text(json.dumps({"fx": fx, "fy": fy, "cx": cx, "cy": cy}))
    mask = np.zeros((48, 64), np.uint8)
    mask[8:40, 8:56] = 255
    fixtures.write_png(root / "mask.png", mask)
    source = FramesSource(root)
    assert source.sequences("train") == ["patient1"]
    info = source.describe("patient1")
    assert (info.frames, info.has_depth, info.has_pose, info.has_intrinsics, info.odd) == (5, True, True, True, ())
    frames = list(source.read("patient1"))
    assert_frames(frames, truth, sequence="patient1")
    np.testing.assert_array_equal(frames[0].view_mask, mask > 0)


def test_a_video_alone_is_a_sequence_with_a_guessed_camera(truth, tmp_path):
    fixtures.write_video(tmp_path / "case.mp4", [frame.frame for frame in truth], lossless=True)
    source = FramesSource(tmp_path / "case.mp4")
    frames = list(source.read("case"))
    np.testing.assert_array_equal([f.frame for f in frames], [t.frame for t in truth])
    assert frames[0].depth_mm is None
    assert frames[0].cam_from_world is None
    np.testing.assert_allclose(frames[0].intrinsics, [0.82 * 64, 0.82 * 64, 31.5, 23.5])
    info = source.describe("case")
    assert not info.has_intrinsics
    assert info.odd == ()


def test_a_folder_of_sequences_and_videos_holds_them_all(truth, tmp_path):
    write_images(tmp_path / "b", truth)
    write_images(tmp_path / "c" / "frames", truth[:2])
    fixtures.write_video(tmp_path / "a.mp4", [frame.frame for frame in truth])
    source = FramesSource(tmp_path, intrinsics=camera_text(truth))
    assert sorted(source.sequences("all")) == ["a", "b", "c"]
    assert [source.describe(name).frames for name in ("a", "b", "c")] == [5, 5, 2]
    with pytest.raises(UserError, match="holds 3 sequences"):
        FramesSource(tmp_path, poses="poses.txt")


def test_a_video_with_companions_is_one_sequence(truth, tmp_path):
    fixtures.write_video(tmp_path / "case.mp4", [frame.frame for frame in truth], lossless=True)
    write_depth(tmp_path / "depth", truth)
    write_kitti(tmp_path / "poses.txt", truth)
    (tmp_path / "camera.txt").write_text(camera_text(truth).replace(",", " "))
    source = FramesSource(tmp_path)
    assert source.sequences("train") == ["case"]
    assert_frames(source.read("case"), truth, sequence="case")


def test_one_view_of_stacked_stereo_is_taken(truth, tmp_path):
    fixtures.write_video(tmp_path / "case.mp4", [fixtures.stacked_stereo(frame) for frame in truth], lossless=True)
    top = next(FramesSource(tmp_path / "case.mp4", stereo="top").read("case"))
    bottom = next(FramesSource(tmp_path / "case.mp4", stereo="bottom").read("case"))
    np.testing.assert_array_equal(top.frame, truth[0].frame)
    np.testing.assert_array_equal(bottom.frame, 255 - truth[0].frame)
    left = next(FramesSource(write_images(tmp_path / "x", truth), stereo="left").read("x"))
    np.testing.assert_array_equal(left.frame, truth[0].frame[:, :32])


CAMERA_FORMS = {
    "camera.txt": lambda k: "\n".join(" ".join(map(str, row)) for row in k),
    "intrinsics.txt": lambda k: f"{k[0][0]} {k[1][1]} {k[0][2]} {k[1][2]}\n",
    "camera.yaml": lambda k: f"camera_matrix: {{rows: 3, cols: 3, data: {[x for row in k for x in row]}}}",
    "camera.yml": lambda k: f"fx: {k[0][0]}\nfy: {k[1][1]}\ncx: {k[0][2]}\ncy: {k[1][2]}\n",
    "intrinsics.yaml": lambda k: f"K: {k}\n",
    "camera.json": lambda k: json.dumps({"K": k}),
}


@pytest.mark.parametrize("form", CAMERA_FORMS)
def test_the_camera_file_may_have_any_simple_form(form, truth, tmp_path):
    write_images(tmp_path, truth[:1])
    (tmp_path / form).write_text(CAMERA_FORMS[form]([[70.0, 0, 30.5], [0, 71.0, 22.5], [0, 0, 1]]))
    frame = next(FramesSource(tmp_path).read(tmp_path.name))
    np.testing.assert_allclose(frame.intrinsics, [70, 71, 30.5, 22.5])


def test_opencv_storage_is_a_camera_file_and_nonsense_is_named(truth, tmp_path):
    write_images(tmp_path, truth[:1])
    fx, fy, cx, cy = truth[0].intrinsics
    storage = cv2.FileStorage(str(tmp_path / "calibration.yaml"), cv2.FILE_STORAGE_WRITE)
    storage.write("M1", np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
    storage.release()
    read = next(FramesSource(tmp_path, intrinsics=str(tmp_path / "calibration.yaml")).read(tmp_path.name))
    np.testing.assert_allclose(read.intrinsics, truth[0].intrinsics)
    fixtures.write_calibration(tmp_path / "calibration.yaml", truth[0])  # of SCARED's size, which it does not state
    with pytest.raises(UserError, match=r"calibration\.yaml: the principal point .* far outside the frames"):
        FramesSource(tmp_path, intrinsics=str(tmp_path / "calibration.yaml")).read(tmp_path.name)
    (tmp_path / "camera.yaml").write_text("focal: 3")
    with pytest.raises(UserError, match=r"camera.yaml: has neither fx"):
        FramesSource(tmp_path).read(tmp_path.name)


def test_tum_pairs_by_line_or_by_frame_number(truth, tmp_path):
    write_images(tmp_path / "s", truth)
    write_tum(tmp_path / "poses.txt", truth, [0.0, 0.04, 0.08, 0.12, 0.16])
    options = {"intrinsics": camera_text(truth), "poses": str(tmp_path / "poses.txt")}
    for got, want in zip(FramesSource(tmp_path / "s", **options).read("s"), truth, strict=True):
        np.testing.assert_allclose(got.cam_from_world, want.cam_from_world, atol=1e-9)
    write_tum(tmp_path / "poses.txt", [truth[1], truth[4]], [1, 4])
    frames = list(FramesSource(tmp_path / "s", **options).read("s"))
    assert [frame.cam_from_world is None for frame in frames] == [True, False, True, True, False]
    np.testing.assert_allclose(frames[4].cam_from_world, truth[4].cam_from_world, atol=1e-9)
    write_tum(tmp_path / "poses.txt", truth[:4], [0.0, 0.04, 0.08, 0.12])
    with pytest.raises(UserError, match="4 poses for 5 frames"):
        FramesSource(tmp_path / "s", **options).read("s")


def test_the_direction_and_unit_of_poses_can_be_said(truth, tmp_path):
    write_images(tmp_path / "s", truth)
    rows = [(frame.cam_from_world[:3] * [1, 1, 1, 0.001]).reshape(-1) for frame in truth]
    np.savetxt(tmp_path / "poses.txt", rows, fmt="%.17g")
    source = FramesSource(
        tmp_path / "s", poses=str(tmp_path / "poses.txt"), pose_direction="cam_from_world", unit_mm=1000
    )
    for got, want in zip(source.read("s"), truth, strict=True):
        np.testing.assert_allclose(got.cam_from_world, want.cam_from_world, atol=1e-9)


@pytest.mark.parametrize("form", ["png", "tiff16", "tiff32"])
def test_depth_maps_of_integers_and_floats_become_millimetres(form, truth, tmp_path):
    write_images(tmp_path / "s", truth)
    (tmp_path / "d").mkdir()
    for frame in truth:  # numbered from 1 while frames count from 0: as many, so they pair by order
        path = tmp_path / "d" / f"depth_{frame.frame_index + 1}"
        steps = np.round(frame.depth_mm * 256).astype(np.uint16)
        if form == "png":
            fixtures.write_png(path.with_suffix(".png"), steps)
        else:
            tifffile.imwrite(path.with_suffix(".tiff"), steps if form == "tiff16" else frame.depth_mm * 256)
    source = FramesSource(tmp_path / "s", depth=str(tmp_path / "d"), depth_unit_mm=1 / 256)
    for got, want in zip(source.read("s"), truth, strict=True):
        np.testing.assert_allclose(got.depth_mm, want.depth_mm, atol=0.5 / 256)


def sparse_rows(truth, step=7):
    """Every `step`-th pixel of the truth as rows (frame, point, u, v, z)."""
    rows = []
    for frame in truth:
        v, u = np.mgrid[3 : frame.frame.shape[0] : step, 3 : frame.frame.shape[1] : step].reshape(2, -1)
        rows += [(frame.frame_index, k, x + 0.2, y - 0.3, frame.depth_mm[y, x]) for k, (x, y) in enumerate(zip(u, v))]  # noqa: B905
    return np.array(rows, np.float32)


def test_geometry_npz_gives_camera_poses_and_sparse_depth(truth, tmp_path):
    write_images(tmp_path / "frames", truth)
    camera = np.eye(3)
    camera[[0, 1, 0, 1], [0, 1, 2, 2]] = truth[0].intrinsics
    rows = sparse_rows(truth)
    poses = np.stack([frame.cam_from_world for frame in truth])
    np.savez(tmp_path / "geometry.npz", intrinsics=camera, world_to_camera=poses, sparse_depth=rows)
    source = FramesSource(tmp_path)
    for got, want in zip(source.read(tmp_path.name), truth, strict=True):
        np.testing.assert_allclose(got.cam_from_world, want.cam_from_world)
        np.testing.assert_allclose(got.intrinsics, want.intrinsics)
        known = got.depth_mm > 0
        assert known.sum() == (rows[:, 0] == want.frame_index).sum()
        np.testing.assert_array_equal(got.depth_mm[known], want.depth_mm[known])
    np.savez(tmp_path / "geometry.npz", world_to_camera=poses[:-1])
    with pytest.raises(UserError, match="4 poses for 5 frames"):
        FramesSource(tmp_path).read(tmp_path.name)


def test_of_two_points_in_a_pixel_the_nearer_counts():
    points = np.array([[2.1, 1.0, 50.0], [1.9, 1.2, 40.0], [9.0, 1.0, 5.0], [0.0, 0.0, -3.0]])
    depth = sparse_depth(points, (3, 4), (3, 4))
    assert depth[1, 2] == 40
    assert depth.sum() == 40
    # Twice the size: pixel centre 2 of 4 becomes 4.5 of 8.
    assert sparse_depth(np.array([[2.0, 1.0, 7.0]]), (3, 4), (6, 8))[2:4, 4:6].sum() == 7


def write_colmap(folder, truth, registered):
    """Writes a text model of the truth: world points seen where they project, pixel centres at halves."""
    folder.mkdir(parents=True)
    height, width = truth[0].frame.shape[:2]
    fx, fy, cx, cy = truth[0].intrinsics
    (folder / "cameras.txt").write_text(f"# cameras\n1 PINHOLE {width} {height} {fx!s} {fy!s} {cx + 0.5} {cy + 0.5}\n")
    images, points = ["# images"], ["# points"]
    number = 0
    for i in registered:
        frame = truth[i]
        w2c = frame.cam_from_world
        x, y, z, w = fixtures.quaternion_of(w2c[:3, :3])
        images.append(f"{i + 1} {w} {x} {y} {z} {' '.join(map(repr, w2c[:3, 3].tolist()))} 1 run/{i:06d}.png")
        seen = []
        for v in range(4, height, 9):
            for u in range(4, width, 9):
                number += 1
                depth = float(frame.depth_mm[v, u])
                cam = np.array([(u - cx) / fx * depth, (v - cy) / fy * depth, depth, 1])
                points.append(f"{number} {' '.join(map(repr, (inverse_rigid(w2c) @ cam)[:3].tolist()))} 9 9 9 0.5 1 0")
                seen.append(f"{u + 0.5} {v + 0.5} {number}")
        images.append(" ".join([*seen, "1.0 1.0 -1"]) if i else "")
    (folder / "images.txt").write_text("\n".join(images))
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")


def test_a_colmap_camera_of_wide_frames_fits_them(truth, tmp_path):
    wide = [dataclasses.replace(frame, frame=np.tile(frame.frame[:16], (1, 2, 1))) for frame in truth]
    wide = [dataclasses.replace(frame, intrinsics=np.array([60.0, 60.0, 63.5, 7.5])) for frame in wide]
    write_images(tmp_path / "images", wide)
    write_colmap(tmp_path / "sparse", [dataclasses.replace(f, depth_mm=np.ones((16, 128))) for f in wide], [0, 1])
    np.testing.assert_allclose(next(iter(FramesSource(tmp_path).read(tmp_path.name))).intrinsics, wide[0].intrinsics)


@pytest.mark.parametrize("place", ["sparse", "sparse/0"])
def test_a_colmap_model_gives_camera_poses_and_the_depth_of_its_points(place, truth, tmp_path):
    write_images(tmp_path / "images", truth)
    write_colmap(tmp_path / place, truth, registered=[0, 1, 3])
    source = FramesSource(tmp_path)
    assert "COLMAP registered 3 of 5 frames" in source.describe(tmp_path.name).odd
    frames = list(source.read(tmp_path.name))
    for i in (0, 1, 3):
        np.testing.assert_allclose(frames[i].cam_from_world, truth[i].cam_from_world, atol=1e-9)
        np.testing.assert_allclose(frames[i].intrinsics, truth[i].intrinsics)
    assert frames[2].cam_from_world is None
    assert frames[2].depth_mm is None
    assert frames[0].depth_mm is None  # its line of points is empty
    known = frames[3].depth_mm > 0
    assert known.sum() == 5 * 7
    np.testing.assert_allclose(frames[3].depth_mm[known], truth[3].depth_mm[known], rtol=1e-5)


def test_colmap_faults_are_one_line_each(truth, tmp_path):
    write_images(tmp_path / "images", truth)
    write_colmap(tmp_path / "sparse", truth, registered=[0])
    cameras = tmp_path / "sparse/cameras.txt"
    good = cameras.read_text().strip()
    cameras.write_text(good.replace("PINHOLE", "OPENCV") + " 0.1 0 0 0")
    assert any("distorted, which is ignored" in odd for odd in FramesSource(tmp_path).describe(tmp_path.name).odd)
    for text, message in (
        (good.replace("PINHOLE", "THIN_PRISM_FISHEYE"), "camera model THIN_PRISM_FISHEYE; known are"),
        (good.replace("1 PINHOLE", "2 PINHOLE"), r"has camera 1, which cameras.txt lacks"),
        ("1 PINHOLE wide", "is not ID MODEL WIDTH HEIGHT"),
    ):
        cameras.write_text(text)
        with pytest.raises(UserError, match=message):
            FramesSource(tmp_path).describe(tmp_path.name)
    cameras.unlink()
    with pytest.raises(UserError, match="model_converter"):
        FramesSource(tmp_path).describe(tmp_path.name)


def test_bad_frames_are_named_or_skipped(truth, tmp_path):
    write_images(tmp_path / "s", truth)
    fixtures.truncate(tmp_path / "s/000001.png", 0.4)
    fixtures.write_png(tmp_path / "s/000003.png", truth[3].frame[:40])
    stream = FramesSource(tmp_path / "s").read("s", on_bad_frame="skip")
    assert [frame.frame_index for frame in stream] == [0, 2, 4]
    assert stream.skipped[1] == "s, frame 3: it is 64x40, the first 64x48"
    with pytest.raises(UserError, match=r"s, frame 1: 000001.png is missing, truncated"):
        list(FramesSource(tmp_path / "s").read("s"))


def test_a_video_cut_short_loses_its_last_frames_and_no_more(tmp_path):
    truth = render_truth(40)
    path = tmp_path / "case.mkv"
    fixtures.write_video(path, [frame.frame for frame in truth], lossless=True)
    fixtures.truncate(path, 0.7)
    with pytest.raises(UserError, match=r"case, frame \d+: case.mkv is damaged or cut short after frame \d+"):
        list(FramesSource(path).read("case"))
    stream = FramesSource(path).read("case", on_bad_frame="skip")
    good = list(stream)
    assert 5 < len(good) < 40
    np.testing.assert_array_equal(good[-1].frame, truth[len(good) - 1].frame)
    assert stream.skipped


def test_places_without_sequences_are_named(truth, tmp_path):
    write_images(tmp_path / "s", truth)
    with pytest.raises(UserError, match="no such video or folder"):
        FramesSource(tmp_path / "nowhere")
    with pytest.raises(UserError, match="one image is no sequence"):
        FramesSource(tmp_path / "s/000000.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        FramesSource(tmp_path / "empty")


@pytest.mark.parametrize("option", ["unit_mm", "depth_unit_mm"])
@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf")])
def test_units_that_are_no_lengths_are_refused(truth, tmp_path, option, unit):
    write_images(tmp_path / "s", truth)
    with pytest.raises(UserError, match=r"unit-mm \S+: must be a finite, positive number"):
        FramesSource(tmp_path / "s", **{option: unit})


@pytest.mark.skipif(not SINUS.is_dir(), reason="no shared/data/sinus beside the repository")
def test_a_real_sinus_endoscopy_with_structure_from_motion_is_consistent():
    """Points of one frame, moved by the poses, fall where the same points were seen in another frame."""
    source = FramesSource(SINUS)
    frames = list(source.read("sinus"))
    assert len(frames) == len(list((SINUS / "frames").iterdir()))
    assert all(frame.view_mask is not None for frame in frames)
    with np.load(SINUS / "geometry.npz") as file:
        points = file["points"]
    frame = frames[10]
    camera = points @ frame.cam_from_world[:3, :3].T + frame.cam_from_world[:3, 3]
    fx, fy, cx, cy = frame.intrinsics
    uv = camera[:, :2] / camera[:, 2:] * (fx, fy) + (cx, cy)
    seen = 0
    for (u, v), z in zip(np.round(uv).astype(int), camera[:, 2], strict=True):
        window = frame.depth_mm[max(v - 1, 0) : v + 2, max(u - 1, 0) : u + 2]
        if window.any():
            seen += np.abs(window[window > 0] - z).min() < 0.02 * z
    assert seen > 0.8 * (frame.depth_mm > 0).sum()
