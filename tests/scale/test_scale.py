"""A clip's scale from points, poses, a length and the other eye: right, with an interval, or refused in a line."""

import dataclasses
import types

import cv2
import numpy as np
import pytest

from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.data.phantom.sequence import render_sequence
from endodav_jax.errors import UserError
from endodav_jax.evaluation.motion import write_tum
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.scale.apply import check_scale, measured_scale
from endodav_jax.scale.estimate import metric_weights, one_scale
from endodav_jax.scale.request import read_request
from endodav_jax.scale.sources import ScaleFrame, read_points, read_poses
from endodav_jax.scale.stereo import StereoMatcher, StereoRig, ratios_of_stereo, read_calibration
from tests.bumpy_wall import INTRINSICS, look, pose, stroll

MM = 3.7  # of one unit
FRAMES = 24
POSES = stroll(FRAMES)
BASELINE = 4.2
EYE = (160, 200)  # height and width of one eye
CAMERA = np.array([170.0, 170.0, 99.5, 79.5])


@pytest.fixture(scope="module")
def frames():
    """A clip whose depth is off in scale, and a little differently in each frame."""
    drift = 1 + 0.01 * np.sin(np.arange(FRAMES))
    return [
        ScaleFrame(n, rgb, (depth / (MM * drift[n])).astype(np.float32))
        for n, (rgb, depth) in enumerate(look(p) for p in POSES)
    ]


def measured(frames, *words, intrinsics=INTRINSICS, rig=None, reader=None):
    reader = reader or types.SimpleNamespace(scale=(1.0, 1.0), source=types.SimpleNamespace(count=FRAMES))
    indices = [frame.index for frame in frames]
    return measured_scale(read_request(words), rig, lambda: iter(frames), indices, reader, intrinsics)


def point_rows():
    random = np.random.default_rng(0)
    rows = []
    for number in range(0, FRAMES, 2):
        depth = look(POSES[number])[1]
        for u, v in random.integers(4, 68, (20, 2)):
            z = depth[v, u] if random.random() > 0.2 else 80 * random.random() + 5  # one in five is wrong
            rows.append((number, u, v, z))
    return np.array(rows)


def test_sparse_points_give_the_scale_within_a_percent_though_some_are_wrong(frames, tmp_path):
    np.savetxt(tmp_path / "points.txt", point_rows())
    scale = measured(frames, "points", str(tmp_path / "points.txt"))
    assert abs(scale.factor / MM - 1) < 0.01
    assert scale.low < MM < scale.high
    assert 0.005 < (scale.high - scale.low) / MM < 0.08
    assert scale.frames == FRAMES // 2
    assert scale.described()["mm_per_unit"] == scale.factor


def test_points_of_structure_from_motion_are_read_from_npz(frames, tmp_path):
    rows = point_rows()
    sparse = np.insert(rows, 1, np.arange(len(rows)), axis=1)
    np.savez(tmp_path / "geometry.npz", sparse_depth=sparse)
    np.testing.assert_array_equal(read_points(tmp_path / "geometry.npz")[2], rows[rows[:, 0] == 2][:, 1:])


def test_poses_of_a_tracked_endoscope_give_the_scale_within_a_percent(frames, tmp_path):
    write_tum(tmp_path / "poses.txt", inverse_rigid(np.stack(POSES)), range(FRAMES))
    scale = measured(frames, "poses", str(tmp_path / "poses.txt"))
    assert abs(scale.factor / MM - 1) < 0.01
    assert scale.low < scale.factor < scale.high


@pytest.mark.parametrize("form", ["KITTI", "TUM"])
def test_poses_of_a_whole_recording_fit_a_part_of_it(frames, tmp_path, form):
    poses = inverse_rigid(np.stack(POSES))
    if form == "TUM":
        write_tum(tmp_path / "poses.txt", poses, range(FRAMES))
    else:
        np.savetxt(tmp_path / "poses.txt", poses[:, :3].reshape(-1, 12))
    part = frames[1::2]
    np.testing.assert_allclose(
        read_poses(tmp_path / "poses.txt", [frame.index for frame in part], FRAMES), poses[1::2], atol=1e-6
    )
    assert abs(measured(part, "poses", str(tmp_path / "poses.txt")).factor / MM - 1) < 0.02


def test_poses_of_another_recording_are_refused(tmp_path):
    np.savetxt(tmp_path / "poses.txt", inverse_rigid(np.stack(POSES))[:, :3].reshape(-1, 12))
    with pytest.raises(UserError, match=f"{FRAMES} poses for 7 frames"):
        read_poses(tmp_path / "poses.txt", list(range(7)), 7)


def test_poses_that_only_turn_show_no_scale(tmp_path):
    turning = [pose(turn=(0, 0.01 * n, 0)) for n in range(FRAMES)]
    frames = [ScaleFrame(n, *look(p)) for n, p in enumerate(turning)]
    write_tum(tmp_path / "poses.txt", inverse_rigid(np.stack(turning)), range(FRAMES))
    with pytest.raises(UserError, match="the camera hardly moves"):
        measured(frames, "poses", str(tmp_path / "poses.txt"))


def test_a_known_length_gives_the_scale(frames):
    first, second = (20, 30), (70, 50)
    depth = look(POSES[6])[1]
    ends = [
        np.array([(x - INTRINSICS[2]) / INTRINSICS[0], (y - INTRINSICS[3]) / INTRINSICS[1], 1]) * depth[y, x]
        for x, y in (first, second)
    ]
    mm = np.linalg.norm(ends[0] - ends[1])
    scale = measured(frames, "length", f"20,30,70,50,6={mm}")
    assert abs(scale.factor / MM - 1) < 0.02
    assert scale.low <= scale.factor <= scale.high


def eyes(rig: StereoRig, number: int):
    """Both eyes' pictures of a frame, and the depth of the left."""
    left, right = (np.array([m[0, 0], m[1, 1], m[0, 2], m[1, 2]]) for m in (rig.left, rig.right))
    between = np.eye(4)
    between[:3, :3], between[:3, 3] = rig.rotation, rig.translation_mm
    rgb, depth = look(POSES[number], left, EYE)
    return rgb, look(between @ POSES[number], right, EYE)[0], depth


def stereo_scale(rig, monkeypatch, pictures=None):
    pictures = pictures or [eyes(rig, number) for number in range(0, FRAMES, 8)]
    frames = [ScaleFrame(n, rgb, (depth / MM).astype(np.float32)) for n, (rgb, _, depth) in enumerate(pictures)]

    def half(source, *, stereo, **_):
        return [types.SimpleNamespace(rgb=picture[0 if stereo == "top" else 1]) for picture in pictures]

    monkeypatch.setattr("endodav_jax.scale.apply.FrameReader", half)
    reader = types.SimpleNamespace(source=None, stereo="top", max_len=0, thinned=False, scale=(1.0, 1.0), fps=25)
    return measured(frames, "stereo", rig=rig, reader=reader)


def test_a_rectified_pair_gives_the_scale_within_two_percent(monkeypatch):
    scale = stereo_scale(StereoRig.rectified(CAMERA, BASELINE, EYE), monkeypatch)
    assert abs(scale.factor / MM - 1) < 0.02
    assert scale.measurements > 1000


def halves(side_by_side: bool):
    """Both halves of pictures with one view, as `--stereo` takes them from a recording that is not stereo."""
    for number in range(0, FRAMES, 8):
        size = (EYE[0], 2 * EYE[1]) if side_by_side else (2 * EYE[0], EYE[1])
        rgb, depth = look(POSES[number], CAMERA, size)
        first, second = (np.split(map_, 2, axis=int(side_by_side)) for map_ in (rgb, depth))
        yield *map(np.ascontiguousarray, first), second[0]


@pytest.mark.parametrize("wrong", ["top and bottom", "left and right", "the eyes exchanged"])
def test_what_are_no_two_eyes_is_refused_instead_of_measured(monkeypatch, wrong):
    rig = StereoRig.rectified(CAMERA, BASELINE, EYE)
    if wrong == "the eyes exchanged":
        pictures = [(right, left, depth) for left, right, depth in (eyes(rig, number) for number in (0, 8, 16))]
    else:
        pictures = list(halves(wrong == "left and right"))
    with pytest.raises(UserError) as caught:
        stereo_scale(rig, monkeypatch, pictures)
    assert "of the pixels of one view are found in the other" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"noise": 6.0, "smoke": 1.0, "circular_view": 1.0}])
@pytest.mark.parametrize("family", ["organ", "colon", "stomach"])
def test_rendered_pairs_are_measured_and_their_halves_are_not(family, fields):
    config = PhantomConfig.of(family, seed=3, sequences=1, frames=1, height=128, width=160, stereo=4.0, **fields)
    (frame,) = render_sequence(config, 0)
    left, right, depth, camera = (frame[key] for key in ("frame", "right", "depth_mm", "intrinsics"))
    ratios = ratios_of_stereo([(0, left, right, depth)], StereoRig.rectified(camera, 4.0, depth.shape))[0]
    assert abs(np.median(ratios) - 1) < 0.1
    for axis in (0, 1):
        first, second = (np.ascontiguousarray(half) for half in np.split(left, 2, axis))
        half_depth = np.split(depth, 2, axis)[0]
        with pytest.raises(UserError, match="found in the other"):
            ratios_of_stereo([(0, first, second, half_depth)], StereoRig.rectified(camera, 4.0, half_depth.shape))


def scared_calibration(path, distortion=0.0):
    """A calibration in SCARED's layout, for 1280x1024, of eyes that are turned against each other."""
    grow = np.array([1280 / EYE[1], 1024 / EYE[0]])
    left = np.array([[170 * grow[0], 0, 100 * grow[0] - 0.5], [0, 170 * grow[1], 80 * grow[1] - 0.5], [0, 0, 1]])
    right = left + np.array([[4.0, 0, 9.0], [0, 4.0, -5.0], [0, 0, 0]])
    turn, _ = cv2.Rodrigues(np.array([0.004, -0.012, 0.003]))
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in {
        "M1": left, "D1": np.full((1, 5), distortion), "M2": right, "D2": np.full((1, 5), distortion), "R": turn,
        "T": np.array([[-BASELINE], [0.05], [-0.1]]),
    }.items():  # fmt: skip
        storage.write(name, value)
    storage.release()
    return path


def test_a_calibration_in_the_layout_of_scared_goes_the_same_way(tmp_path, monkeypatch):
    rig = read_calibration(scared_calibration(tmp_path / "endoscope_calibration.yaml"), EYE)
    np.testing.assert_allclose(rig.left, [[170, 0, 99.5], [0, 170, 79.5], [0, 0, 1]], atol=0.1)
    scale = stereo_scale(rig, monkeypatch)
    assert abs(scale.factor / MM - 1) < 0.02


def test_matched_points_lie_where_the_left_eye_sees_them(tmp_path):
    rig = read_calibration(scared_calibration(tmp_path / "calibration.yaml"), EYE)
    left, right, depth = eyes(rig, 0)
    points = StereoMatcher(rig).measured(left, right)
    u, v = np.rint(points[:, :2]).astype(int).T
    inside = (u >= 0) & (u < EYE[1]) & (v >= 0) & (v < EYE[0])
    off = points[inside, 2] / depth[v[inside], u[inside]] - 1
    assert np.median(np.abs(off)) < 0.02


def test_the_right_eye_can_be_the_one_that_depth_is_of():
    rig = StereoRig.rectified(CAMERA, BASELINE, EYE)
    left, right, _ = eyes(rig, 0)
    depth = look(np.array([[1, 0, 0, -BASELINE], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ POSES[0], CAMERA, EYE)[1]
    points = StereoMatcher(rig.swapped()).measured(right, left)
    u, v = np.rint(points[:, :2]).astype(int).T
    assert np.median(np.abs(points[:, 2] / depth[v, u] - 1)) < 0.02


def test_the_interval_is_that_of_the_frames():
    random = np.random.default_rng(0)
    ratios = {n: 2.0 * np.exp(random.normal(0, 0.03) + random.normal(0, 0.2, 500)) for n in range(60)}
    scale = one_scale(ratios, "points")
    assert abs(scale.factor - 2) < 0.03
    assert abs(np.log(scale.high / scale.low) / (2 * 1.96) - 0.03) < 0.012


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sonar",), "--scale sonar: expected stereo, points FILE, poses FILE, or length"),
        (("points", "missing.txt"), "--scale points missing.txt: no such file"),
        (("length", "1,2,3"), "expected X1,Y1,X2,Y2,FRAME=MM"),
        (("length", "1,2,1,2,0=4"), "two different pixels"),
        (("length", "1,2,30,2,99=4"), "there is no frame 99 in the clip"),
        (("length", "1,2,30,2,1.5=4"), "expected X1,Y1,X2,Y2,FRAME=MM"),
        (("length", "1,2,30,2,inf=4"), "expected X1,Y1,X2,Y2,FRAME=MM"),
    ],
)
def test_what_cannot_be_meant_is_one_line(frames, words, said):
    with pytest.raises(UserError) as caught:
        measured(frames, *words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3\n", "3 numbers per line; expected 4"),
        ("a b c d\n", "not numbers"),
        ("0 1 2 -4\n", "a depth is not positive"),
        ("500 10 10 30\n", "has points for frame 500 and others, none in this clip"),
        ("0 10 10 30\n", "no frame has 4 measurements"),
    ],
)
def test_a_file_of_points_that_does_not_fit_is_one_line(frames, tmp_path, text, said):
    (tmp_path / "points.txt").write_text(text)
    with pytest.raises(UserError) as caught:
        measured(frames, "points", str(tmp_path / "points.txt"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("points", "1 2 3\n", "3 numbers per line; expected 4"),
        ("points", "", "no measurements"),
        ("points", "10.5 20 30 0\n", "a frame's number is not 0, 1, 2"),
        ("points", "0 20 30 50\n4 250 30 50\n", "pixel 250,30 of frame 4 is outside the 200x160 frame"),
        ("poses", "1 2 3\n", "lines of [3] numbers; wanted 12 (KITTI) or 8 (TUM)"),
        ("poses", "", "holds no pose"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_before_any_work(tmp_path, kind, text, said):
    (tmp_path / "given.txt").write_text(text)
    request = read_request((kind, str(tmp_path / "given.txt")))
    with pytest.raises(UserError) as caught:
        check_scale(request, Settings(scale=(kind,)), types.SimpleNamespace(full_size=EYE))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_length_outside_the_frame_is_refused_before_any_work():
    request = read_request(("length", "1,2,900,2,0=4"))
    with pytest.raises(UserError, match="pixel 900,2 is outside the 200x160 frame"):
        check_scale(request, Settings(scale=("length",)), types.SimpleNamespace(full_size=EYE))


@dataclasses.dataclass
class Settings:
    scale: tuple = ("stereo",)
    stereo: str = "top"
    intrinsics: str = ""
    baseline: float = 0.0
    calibration: str = ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stereo": "none"}, "tell where the left view is"),
        ({}, "give --calibration FILE, or --baseline MM with --intrinsics"),
        ({"baseline": 4.0}, "give --calibration FILE, or --baseline MM with --intrinsics"),
        ({"calibration": "missing.yaml"}, "--calibration missing.yaml: no such file"),
        ({"scale": (), "baseline": 4.0}, "require --scale stereo"),
        ({"scale": ("length", "1,2,30,2,0=4"), "baseline": 4.0}, "require --scale stereo"),
    ],
)
def test_stereo_without_its_cameras_is_one_line(settings, said):
    config = Settings(**settings)
    reader = types.SimpleNamespace(full_size=EYE)
    with pytest.raises(UserError) as caught:
        check_scale(read_request(config.scale), config, reader)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"T": np.array([[0.0], [4.0], [0.0]])}, "the two cameras are not side by side"),
        ({"M1": np.eye(2)}, "has no valid M1"),
        ({"R": np.eye(4)}, "has no valid R"),
        ({"T": np.zeros((2, 1))}, "has no valid T"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused_before_any_work(tmp_path, changed, said):
    camera = np.array([[180.0, 0, 100], [0, 180, 80], [0, 0, 1]])
    values = {"M1": camera, "M2": camera, "D1": np.zeros((1, 5)), "D2": np.zeros((1, 5)), "R": np.eye(3)}
    path = tmp_path / "rig.yaml"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in (values | {"T": np.array([[-4.0], [0], [0]])} | changed).items():
        storage.write(name, value)
    storage.release()
    with pytest.raises(UserError, match=said):
        check_scale(
            read_request(("stereo",)), Settings(calibration=str(path)), types.SimpleNamespace(full_size=(160, 200))
        )


def test_the_factor_of_metric_weights_claims_no_interval():
    scale = metric_weights()
    assert "interval_95" not in scale.described()
    assert scale.line() == "scale: 1000 mm per unit from metric weights, whose error is not known"
