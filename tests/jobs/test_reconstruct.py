"""`endodav reconstruct` from the user's side, with a network that knows the depth of a painted wall."""

import json
import shutil
import signal
import sys

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from endodav_jax import cli
from endodav_jax.checkpoints.card import Card
from endodav_jax.data.sources.trajectories import read_trajectory
from endodav_jax.errors import EXIT_PREEMPTED, EXIT_SOME_FAILED, EXIT_USER_ERROR
from endodav_jax.evaluation.motion import write_tum
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.reconstruction import run as job
from endodav_jax.reconstruction.layout import Layout
from endodav_jax.reconstruction.measures import path_errors
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.undistort import Undistorter
from tests.bumpy_wall import INTRINSICS, SIZE, distance_to_wall, look, pose, stroll

FRAMES = 16
POSES = stroll(FRAMES)
UNIT = 12.0  # mm of the network's unit
CAMERA = ",".join(map(str, INTRINSICS))


class Seer:
    """Gives the wall's own depth, in a unit of its own, as disparity."""

    config = DepthModelConfig()

    def iter_infer(self, frames, align, view_mask, on_overlap):
        for number, _ in enumerate(frames):
            depth = look(POSES[number])[1] / UNIT
            disparity = ((1 / depth - 1 / 150) / (10 - 1 / 150)).astype(np.float32)
            np.testing.assert_allclose(depth_from_disparity(disparity), depth, rtol=1e-4)
            if number in (6, 7):
                on_overlap(number, disparity, 1.01 * disparity)
            yield number, disparity


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "wall"
    folder.mkdir()
    for number, taken in enumerate(POSES):
        Image.fromarray(look(taken)[0]).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def networks():
    return {"depth": {}}


@pytest.fixture
def endodav(monkeypatch, capsys, networks):
    """Runs `endodav reconstruct ...` and returns (exit code, stdout, stderr)."""
    monkeypatch.setattr(job, "load_networks", lambda *_: (Seer(), networks, Card(what="a seer", licence="none")))

    def run(*arguments) -> tuple[int, str, str]:
        code = cli.main(["reconstruct", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def made(clip, tmp_path_factory):
    """A reconstruction in millimetres, by the poses of a tracked endoscope."""
    out = tmp_path_factory.mktemp("out")
    write_tum(out / "poses.txt", inverse_rigid(np.stack(POSES)), range(FRAMES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "load_networks", lambda *_: (Seer(), {"depth": {}}, Card(what="a seer", licence="none")))
        scale = ["--scale", "poses", str(out / "poses.txt")]
        code = cli.main(
            [
                "reconstruct",
                str(clip),
                "-o",
                str(out / "scene"),
                "--intrinsics",
                CAMERA,
                "--motion",
                "none",
                "--quiet",
                *scale,
            ]
        )
    assert code == 0
    return Layout.find(out / "scene")


def test_the_view_that_was_found_is_said_before_the_work(endodav, tmp_path):
    folder = tmp_path / "round"
    folder.mkdir()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    seen = (y - SIZE[0] / 2) ** 2 + (x - SIZE[1] / 2) ** 2 < (SIZE[0] / 2.2) ** 2
    for number, taken in enumerate(POSES):
        Image.fromarray(np.where(seen[..., None], look(taken)[0], 0).astype(np.uint8)).save(
            folder / f"{number:03d}.png"
        )
    for mask, told in ([], True), (["--mask", "none"], False):
        code, _, err = endodav(folder, "-o", tmp_path / "scene", *mask)  # the seer has no pose network
        assert code == EXIT_USER_ERROR
        assert ("depth is 0 in the rest (--mask none keeps it)" in err) == told


def test_everything_that_the_layout_promises_is_there(made):
    assert made.stem == "wall"
    assert {path.name for path in made.folder.iterdir()} == {path.name for path in made.fixed()}


def test_the_trajectory_is_the_cameras_in_millimetres(made):
    found = read_trajectory(made.trajectory(), list(range(FRAMES)))
    errors = path_errors(found[:, :3, 3], inverse_rigid(np.stack(POSES))[:, :3, 3], free_scale=False)
    assert errors.share < 0.01


def test_cameras_say_what_they_mean(made):
    about = json.loads(made.cameras.read_text())
    assert about["unit"] == "mm"
    assert "cam_from_world maps a point of the world into the camera" in about["convention"]
    np.testing.assert_allclose(list(about["intrinsics"].values()), INTRINSICS)
    last = about["frames"][-1]
    assert (last["frame"], last["piece"]) == (FRAMES - 1, 1)
    wanted = POSES[-1] @ inverse_rigid(POSES[0])
    assert np.abs(last["cam_from_world"] - wanted).max() < 0.3


def test_the_mesh_is_the_wall_in_millimetres(made):
    mesh = trimesh.load(made.mesh(), process=False)
    world = inverse_rigid(POSES[0])
    off = distance_to_wall(mesh.vertices @ world[:3, :3].T + world[:3, 3])
    assert len(mesh.vertices) > 1000
    assert np.quantile(off, 0.95) < 1.0


def test_gltf_is_in_metres(made):
    (shown,) = trimesh.load(made.gltf(), process=False).geometry.values()
    mesh = trimesh.load(made.mesh(), process=False)
    np.testing.assert_allclose(shown.extents, mesh.extents * 1e-3, rtol=1e-3)


def test_depth_is_in_millimetres_beside_the_errors_to_expect(made):
    with np.load(made.depths) as file:
        assert set(file) == {
            "disparities", "depths", "depths_mm", "expected_errors", "fps", "intrinsics", "frame_index",
        }  # fmt: skip
        true = look(POSES[5])[1]
        assert abs(np.median(file["depths_mm"][5] / true) - 1) < 0.01
        assert file["expected_errors"].shape == (FRAMES, *SIZE)
        assert (file["expected_errors"] > 0).all()


def test_meta_says_the_scale_and_its_interval(made):
    about = json.loads(made.meta.read_text())
    assert about["unit"] == "mm"
    assert abs(about["scale"]["mm_per_unit"] / UNIT - 1) < 0.01
    low, high = about["scale"]["interval_95"]
    assert low < about["scale"]["mm_per_unit"] < high
    assert about["lost"] == []
    assert about["parallax"]["pixels"] > 1
    assert set(about["seconds"]) == {"depth", "camera", "scale", "surface", "mesh"}


def test_the_report_shows_path_drift_coverage_confidence_and_three_sides(made):
    page = made.report.read_text()
    for heading in ("Camera path", "Drift", "Coverage and confidence", "from above", "from the side", "mm per unit"):
        assert heading in page
    assert page.count("<img") >= 3 + 3 * 4


def test_without_a_scale_everything_says_so(endodav, clip, tmp_path):
    code, out, _ = endodav(clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--max-len", "6")
    assert code == 0
    assert "scale: not known; everything is up to scale" in out
    assert "frames/s" in out
    layout = Layout.find(tmp_path / "out")
    assert json.loads(layout.meta.read_text())["scale"] == "up to scale"
    assert "up to scale" in layout.trajectory().read_text().splitlines()[0]
    assert b"unit: up to scale" in layout.mesh().read_bytes()[:400]
    assert json.loads(layout.cameras.read_text())["unit"] == "up to scale"
    with np.load(layout.depths) as file:
        assert "depths_mm" not in file


def test_a_surface_that_is_nowhere_is_said_and_leaves_no_gltf(endodav, clip, tmp_path):
    arguments = (clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--quiet", "--max-len", "6")
    assert endodav(*arguments)[0] == 0
    layout = Layout.find(tmp_path / "out")
    assert layout.gltf().is_file()
    code, _, err = endodav(*arguments, "--voxel", "1000", "--overwrite")
    assert code == 0
    assert f"{layout.mesh()}: no surface was found with voxels of 1e+03 (up to scale); check --voxel" in err
    assert {path.name for path in layout.folder.iterdir()} == {path.name for path in layout.fixed()} - {"mesh.glb"}
    assert b"element face 0" in layout.mesh().read_bytes()


def wrong(result, *parts):
    code, out, err = result
    lines = [line for line in err.splitlines() if line.startswith("endodav reconstruct: ")]
    assert (code, out, len(lines)) == (EXIT_USER_ERROR, "", 1)
    for part in parts:
        assert part in lines[0]


def test_bad_input_is_one_line_and_leaves_nothing(endodav, networks, clip, tmp_path):
    given = ("-o", tmp_path / "out", "--intrinsics", CAMERA)
    wrong(endodav(clip, *given), "no motion network in it", "--motion none")
    wrong(endodav(clip, "-o", tmp_path / "out", "--motion", "none"), "--intrinsics: none given", "learned none")
    bent = tmp_path / "camera.json"
    bent.write_text(json.dumps({"fx": 90, "fy": 90, "cx": 48, "cy": 36, "k1": -0.3}))
    in_its_pixels = ("--scale", "length", "3,4,60,50,2=10", "--motion", "none")
    wrong(endodav(clip, "-o", tmp_path / "out", "--intrinsics", bent, *in_its_pixels), "a lens that distorts")
    wrong(endodav(clip / "000.png", *given, "--motion", "none"), "is a single frame")
    wrong(endodav(clip, *given, "--motion", "none", "--max-len", "1"), "is a single frame")
    wrong(endodav(clip, *given, "--motion", "none", "--scale", "stereo"), "--stereo top or --stereo left")
    Image.new("L", (10, 20), 255).save(tmp_path / "mask.png")
    wrong(endodav(clip, *given, "--mask", tmp_path / "mask.png"), "the mask is 10x20, the frames are 96x72")
    (tmp_path / "masks").mkdir()
    Image.new("L", (10, 20), 255).save(tmp_path / "masks" / "0.png")
    wrong(endodav(clip, *given, "--instruments", tmp_path / "masks"), "the masks are 10x20, the frames 96x72")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_scale_that_does_not_fit_is_one_line_and_leaves_nothing(endodav, clip, tmp_path):
    (tmp_path / "points.txt").write_text("700 3 4 50\n701 3 4 50\n")
    result = endodav(
        clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--quiet", "--max-len", "4",
        "--scale", "points", tmp_path / "points.txt",
    )  # fmt: skip
    wrong(result, "has points for frame 700 and others, none in this clip")
    assert list((tmp_path / "out").iterdir()) == []


def test_files_get_their_names_together_at_the_end_so_that_a_stopped_run_can_be_repeated(
    endodav, clip, tmp_path, monkeypatch
):
    arguments = (clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--quiet", "--max-len", "6")
    write = job.write_scene_report
    seen = []

    def terminated(*given):
        write(*given)
        seen.extend(path.suffix for path in (tmp_path / "out").iterdir())  # what SIGKILL would leave
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(job, "write_scene_report", terminated)
    code, _, err = endodav(*arguments)
    signal.signal(signal.SIGTERM, before)
    assert (code, err) == (EXIT_PREEMPTED, "endodav reconstruct: stopped by SIGTERM\n")
    assert seen == [".part"]
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.setattr(job, "write_scene_report", write)
    assert endodav(*arguments)[0] == 0
    layout = Layout.find(tmp_path / "out")
    assert {path.name for path in layout.folder.iterdir()} == {path.name for path in layout.fixed()}
    layout.mesh(1).parent.mkdir()  # of an earlier run that was lost in between
    layout.mesh(1).write_bytes(layout.mesh().read_bytes())
    assert endodav(*arguments, "--overwrite")[0] == 0
    assert {path.name for path in layout.folder.iterdir()} == {path.name for path in layout.fixed()}


def test_instruments_are_left_out_of_the_surface(endodav, clip, tmp_path):
    (tmp_path / "masks").mkdir()
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 40:] = 255
    for number in range(FRAMES):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number:03d}.png")
    code, _, _ = endodav(
        clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--max-len", "5", "--quiet",
        "--instruments", tmp_path / "masks",
    )  # fmt: skip
    assert code == 0
    mesh = trimesh.load(tmp_path / "out" / "mesh.ply", process=False)
    assert mesh.vertices[:, 0].max() < 0.5  # the left of the axis alone


def test_frames_that_repeat_the_one_before_are_counted_and_said(endodav, monkeypatch, tmp_path):
    twice = [taken for taken in POSES[:5] for _ in range(2)]
    (tmp_path / "twice").mkdir()
    for number, taken in enumerate(twice):
        Image.fromarray(look(taken)[0]).save(tmp_path / "twice" / f"{number:03d}.png")
    monkeypatch.setattr(sys.modules[__name__], "POSES", twice)
    out = tmp_path / "out"
    code, _, err = endodav(tmp_path / "twice", "-o", out, "--intrinsics", CAMERA, "--motion", "none", "--quiet")
    assert code == 0
    assert "5 of 10 frames repeat the one before, which says nothing about depth; leave them out" in err
    layout = Layout.find(out)
    assert json.loads(layout.meta.read_text())["frames_repeated"] == 5
    assert "5 of 10 frames repeat the one before" in layout.report.read_text()


@pytest.mark.parametrize("eye", ["left", pytest.param("bottom", marks=pytest.mark.slow)])
def test_a_file_with_both_eyes_gives_the_scale(endodav, tmp_path, eye):
    baseline = 6.0
    (tmp_path / "both").mkdir()
    for number, taken in enumerate(POSES):
        other = np.eye(4)
        other[0, 3] = -baseline if eye == "left" else baseline  # the eye below is the right one
        this, that = look(taken)[0], look(other @ taken)[0]
        both = np.concatenate([this, that], 1) if eye == "left" else np.concatenate([that, this], 0)
        Image.fromarray(both).save(tmp_path / "both" / f"{number:03d}.png")
    code, out, _ = endodav(
        tmp_path / "both", "-o", tmp_path / "out", "--stereo", eye, "--scale", "stereo", "--baseline", baseline,
        "--intrinsics", CAMERA, "--motion", "none",
    )  # fmt: skip
    assert code == 0
    assert "mm per unit" in out
    layout = Layout.find(tmp_path / "out")
    assert abs(json.loads(layout.meta.read_text())["scale"]["mm_per_unit"] / UNIT - 1) < 0.02
    found = read_trajectory(layout.trajectory(), list(range(FRAMES)))
    truth = inverse_rigid(np.stack(POSES))[:, :3, 3]
    assert path_errors(found[:, :3, 3], truth, free_scale=False).share < 0.02


def test_a_lens_that_distorts_is_resampled_to_a_pinhole(endodav, tmp_path):
    (tmp_path / "wide").mkdir()
    about = dict(zip(("fx", "fy", "cx", "cy"), INTRINSICS, strict=True)) | {"k1": -0.25, "k2": 0.04}
    (tmp_path / "camera.json").write_text(json.dumps(about))
    lens = Undistorter.of(read_camera(str(tmp_path / "camera.json"), SIZE, SIZE), SIZE)
    for number, taken in enumerate(POSES[:8]):
        Image.fromarray(lens.back(look(taken)[0], cv2.INTER_LINEAR)).save(tmp_path / "wide" / f"{number:03d}.png")
    code, out, _ = endodav(
        tmp_path / "wide", "-o", tmp_path / "out", "--intrinsics", tmp_path / "camera.json", "--motion", "none",
        "--mask", "none",
    )  # fmt: skip
    assert code == 0
    assert "undistorted to a pinhole" in out
    layout = Layout.find(tmp_path / "out")
    assert json.loads(layout.meta.read_text())["undistorted"]["pinhole"] == list(INTRINSICS)
    found = read_trajectory(layout.trajectory(), list(range(8)))
    truth = inverse_rigid(np.stack(POSES[:8]))[:, :3, 3]
    assert path_errors(UNIT * found[:, :3, 3], truth, free_scale=False).share < 0.02


def test_a_camera_that_turns_on_the_spot_is_measured_and_said(endodav, monkeypatch, tmp_path):
    turning = [pose(turn=(0.004 * n, 0.006 * n, 0)) for n in range(6)]
    (tmp_path / "turning").mkdir()
    for number, turned in enumerate(turning):
        Image.fromarray(look(turned)[0]).save(tmp_path / "turning" / f"{number:03d}.png")
    monkeypatch.setattr(sys.modules[__name__], "POSES", turning)
    code, _, err = endodav(
        tmp_path / "turning", "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none", "--quiet"
    )
    assert code == 0
    assert "the camera only rotates (parallax 0." in err
    assert "px over 6 frames)" in err


def test_a_camera_that_is_lost_in_every_frame_is_one_line_and_says_nothing_of_its_motion(endodav, tmp_path):
    (tmp_path / "white").mkdir()
    for number in range(4):  # one highlight
        Image.fromarray(np.full((*SIZE, 3), 255, np.uint8)).save(tmp_path / "white" / f"{number:03d}.png")
    out = tmp_path / "out"
    code, said, err = endodav(tmp_path / "white", "-o", out, "--intrinsics", CAMERA, "--motion", "none", "--quiet")
    assert (code, said) == (2, "")
    assert f"{tmp_path / 'white'}: the camera was lost in all 4 frames (" in err
    assert err.count("\n") == 1
    assert not list(out.iterdir())


class MetricSeer(Seer):
    """Gives the wall's own depth in metres."""

    config = DepthModelConfig(output="metric_depth")

    def iter_infer(self, frames, align, view_mask, on_overlap):
        for number, _ in enumerate(frames):
            yield number, (look(POSES[number])[1] / 1000).astype(np.float32)


def test_a_metric_network_gives_millimetres_and_claims_no_interval(endodav, clip, tmp_path, monkeypatch):
    card = Card(what="a metric seer", licence="none")
    monkeypatch.setattr(job, "load_networks", lambda *_: (MetricSeer(), {"depth": {}}, card))
    code, out, _ = endodav(clip, "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none")
    assert code == 0
    assert "1000 mm per unit from metric weights, whose error is not known" in out
    about = json.loads((tmp_path / "out" / "wall_meta.json").read_text())
    assert about["scale"] == {"mm_per_unit": 1000.0, "source": "metric weights"}
    with np.load(tmp_path / "out" / "wall_depths.npz") as stored:
        assert "disparities" not in stored
        known = stored["depths_mm"][0] > 0
        np.testing.assert_allclose(stored["depths_mm"][0][known], look(POSES[0])[1][known], rtol=1e-3)
    assert "whose error is not known" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_recording_that_breaks_off_is_reconstructed_up_to_there(endodav, clip, tmp_path):
    shutil.copytree(clip, tmp_path / "wall")
    damaged = tmp_path / "wall" / "013.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    code, _, said = endodav(tmp_path / "wall", "-o", tmp_path / "out", "--intrinsics", CAMERA, "--motion", "none")
    assert code == EXIT_SOME_FAILED
    assert "the 13 frames before this were used" in said
    about = json.loads((tmp_path / "out" / "wall_meta.json").read_text())
    assert (about["complete"], about["frames"]) == (False, 13)
