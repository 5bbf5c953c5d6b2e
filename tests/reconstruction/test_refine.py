"""Adjusting a path to followed points: bent depth does not bend the path, and what cannot be adjusted is left alone."""

import dataclasses
import itertools

import numpy as np
import pytest

from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction import refine
from endodav_jax.reconstruction.bundle import Observed, adjust
from endodav_jax.reconstruction.clip import DepthView, given_path
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.measures import path_errors
from endodav_jax.reconstruction.refine import refined_path
from endodav_jax.reconstruction.views import make_view
from tests.bumpy_wall import INTRINSICS, SIZE, look, pose, stroll

FRAMES = 30
POSES = [p @ inverse_rigid(stroll(1)[0]) for p in stroll(FRAMES)]
BEND = 1 + 0.5 * (np.arange(SIZE[1]) / SIZE[1] - 0.5)  # to one side nearer, to the other farther than it is
FLICKER = 1 + 0.04 * np.sin(1.7 * np.arange(FRAMES))


def seen(poses) -> list[DepthView]:
    inside = np.ones(SIZE, bool)
    views = [DepthView(number, *look(p), inside) for number, p in enumerate(poses)]
    bent = zip(views, FLICKER, strict=True)
    return [dataclasses.replace(v, depth=(v.depth * BEND * factor).astype(np.float32)) for v, factor in bent]


@pytest.fixture(scope="module")
def views():
    return seen(stroll(FRAMES))


def followed(views) -> FollowedPoints:
    points = FollowedPoints()
    for view in views:
        points.push(make_view(view.index, view.rgb, view.depth, view.tissue(), INTRINSICS, 40.0), 40.0)
    return points


@pytest.fixture(scope="module")
def points(views):
    return followed(views)


def astray(views):
    """A path that knows no turns and every step but roughly, as a network that was never taught them gives it."""
    random = np.random.default_rng(1)
    start = [np.eye(4)]
    for before, now in itertools.pairwise(POSES):
        motion = np.eye(4)
        motion[:3, 3] = 0.7 * (now @ inverse_rigid(before))[:3, 3] + random.normal(0.1, 0.3, 3)
        start.append(motion @ start[-1])
    return given_path(lambda: iter(views), INTRINSICS, start)


def off(path, piece=0):
    numbers = [frame.index for frame in path.of_piece(piece)]
    truth = inverse_rigid(np.stack(POSES))[numbers][:, :3, 3]
    return path_errors(path.world_from_cam(piece)[:, :3, 3], truth, free_scale=True)


def test_points_are_followed_to_a_fraction_of_a_pixel(points):
    frames, names, pixels, depth = points.observations()
    assert np.isfinite(depth).mean() > 0.9
    first, later = (np.flatnonzero(frames == number) for number in (3, 8))
    common, there, here = np.intersect1d(names[first], names[later], return_indices=True)
    assert len(common) > 40
    start, end = pixels[first[there]], pixels[later[here]]
    fx, fy, cx, cy = INTRINSICS
    true = look(stroll(FRAMES)[3])[1][tuple(np.round(start[:, ::-1]).astype(int).T)]
    inside = np.column_stack([(start - (cx, cy)) / (fx, fy), np.ones(len(start))]) * true[:, None]
    motion = POSES[8] @ inverse_rigid(POSES[3])
    moved = inside @ motion[:3, :3].T + motion[:3, 3]
    missed = np.linalg.norm(moved[:, :2] / moved[:, 2:] * (fx, fy) + (cx, cy) - end, axis=1)
    assert np.median(missed) < 0.3


def test_bent_and_flickering_depth_does_not_bend_the_path(views, points):
    start = astray(views)
    found = refined_path(start, points)
    assert off(start).share > 0.02
    assert off(found).share < 0.01
    for frame, true in zip(found.frames, POSES, strict=True):
        assert np.linalg.norm(frame.cam_from_world[:3, :3] - true[:3, :3]) < 0.02


def test_the_unit_of_the_path_is_that_of_depth_in_the_median_of_the_view(views, points):
    start = astray(views)
    factors = []
    for frame in start.frames:
        frame.cam_from_world[:3, 3] *= 1.5
    for frame, view in zip(refined_path(start, points).frames, views, strict=True):
        factors.append(np.median(look(stroll(FRAMES)[view.index])[1] / (frame.scale * view.depth)))
    places = refined_path(start, points).world_from_cam(0)[:, :3, 3]
    grown = path_errors(places, inverse_rigid(np.stack(POSES))[:, :3, 3], free_scale=True).scale
    assert grown == pytest.approx(np.median(factors), rel=0.03)
    assert np.median([frame.scale for frame in refined_path(start, points).frames]) == pytest.approx(1, rel=0.05)


def test_the_flicker_of_depth_is_found(views, points):
    scales = np.array([frame.scale for frame in refined_path(astray(views), points).frames])
    told = np.log(scales * FLICKER)
    assert told.std() < 0.4 * np.log(FLICKER).std()


def test_a_long_clip_is_adjusted_in_stretches_that_join(views, points, monkeypatch):
    for name, value in {"STRETCH": 14, "ADVANCE": 8, "HELD": 4}.items():
        monkeypatch.setattr(refine, name, value)
    found = refined_path(astray(views), points)
    assert off(found).share < 0.01
    assert off(found).scale_drift < 0.08


def test_points_tell_how_far_each_frames_depth_is_off(views, points):
    """The bend that was put in comes out, and points that parallax says more of are nearer to it."""
    rows = np.concatenate([frame.triangulated for frame in refined_path(astray(views), points).frames])
    wanted = -np.log(1 + 0.5 * (rows[:, 0] - 0.5))
    wanted -= np.median(wanted)
    off = np.abs(rows[:, 2] - wanted)
    assert np.median(off) < 0.05
    assert np.corrcoef(rows[:, 2], wanted)[0, 1] > 0.9
    surer = rows[:, 3] < np.median(rows[:, 3])
    assert np.median(off[surer]) < np.median(off[~surer])


def test_what_depth_is_off_by_counts_by_area_and_not_by_points():
    """Depth of the left third of a frame is off, and most points lie there, the surest among them."""
    random = np.random.default_rng(0)
    places = random.random((500, 2)).astype(np.float32)
    places[:400, 0] /= 3
    left = places[:, 0] < 1 / 3
    rows = np.column_stack([places, np.where(left, 0.5, 0.2), np.where(left, 0.01, 0.1)]).astype(np.float32)
    refine.centre_ratios([rows, None, rows[:0]])
    assert np.median(rows[~left, 2]) == pytest.approx(0, abs=1e-6)
    assert np.median(rows[left, 2]) == pytest.approx(0.3, abs=1e-6)


def test_a_frame_that_shows_no_points_goes_on_as_it_was_tracked(views):
    blank = list(views)
    blank[15] = dataclasses.replace(views[15], rgb=np.full_like(views[15].rgb, 120))
    start = astray(blank)
    found = refined_path(start, followed(blank))
    told, tracked = (
        path.frames[15].cam_from_world @ inverse_rigid(path.frames[14].cam_from_world) for path in (found, start)
    )
    np.testing.assert_allclose(told[:3, :3], tracked[:3, :3], atol=1e-6)
    unit = np.linalg.norm(told[:3, 3]) / np.linalg.norm(tracked[:3, 3])
    assert 0.8 < unit < 1.25
    np.testing.assert_allclose(told[:3, 3], unit * tracked[:3, 3], atol=1e-6)
    assert off(found).share < 0.02


def test_depth_that_agrees_from_frame_to_frame_keeps_its_path(views, points):
    start = astray(views)
    agreeing, not_so = (
        dataclasses.replace(start, frames=tuple(dataclasses.replace(f, difference=size) for f in start.frames))
        for size in (0.001, 0.01)
    )
    held = refined_path(agreeing, points)
    for before, after in zip(agreeing.frames, held.frames, strict=True):
        np.testing.assert_array_equal(after.cam_from_world, before.cam_from_world)
        assert after.scale == before.scale
        assert len(after.triangulated)
    assert off(refined_path(not_so, points)).share < 0.01


def test_lost_frames_and_pieces_stay_what_they_are(views, points):
    frames = list(astray(views).frames)
    for number in (12, 13):
        frames[number] = dataclasses.replace(frames[number], piece=-1, cam_from_world=None, reason="smoke")
    for number in range(14, FRAMES):
        frames[number] = dataclasses.replace(frames[number], piece=1)
    start = dataclasses.replace(astray(views), frames=tuple(frames))
    found = refined_path(start, points)
    assert [frame.piece for frame in found.frames] == [frame.piece for frame in frames]
    assert [frame.reason for frame in found.lost()] == ["smoke", "smoke"]
    for piece in (0, 1):
        first = found.of_piece(piece)[0]
        before = frames[first.index].cam_from_world
        unit = np.linalg.norm(first.cam_from_world[:3, 3]) / max(np.linalg.norm(before[:3, 3]), 1e-9)
        np.testing.assert_allclose(first.cam_from_world[:3, :3], before[:3, :3], atol=1e-9)
        np.testing.assert_allclose(first.cam_from_world[:3, 3], unit * before[:3, 3], atol=1e-9)
        assert off(found, piece).share < 0.02


def test_true_depth_is_told_from_bent():
    """The deviation of depth is estimated: small where depth is true, and then it holds the points."""
    random = np.random.default_rng(0)
    poses = np.stack([pose(x=1.5 * n) for n in range(8)])
    places = np.column_stack([random.uniform(-15, 25, (2, 150)).T, random.uniform(35, 50, 150)])
    frame, name = (part.ravel() for part in np.mgrid[:8, :150])
    moved = np.einsum("oij,oj->oi", poses[frame, :3, :3], places[name]) + poses[frame, :3, 3]
    pixels = moved[:, :2] / moved[:, 2:] * INTRINSICS[:2] + INTRINSICS[2:] + random.normal(0, 0.2, (len(frame), 2))
    found = {}
    for label, bend in (("true", 0.0), ("bent", 0.15)):
        depth = moved[:, 2] * np.exp(bend * np.sin(places[name, 0] / 4))
        seen = Observed.of(frame, name, pixels, depth, INTRINSICS)
        start = np.tile(np.eye(4), (8, 1, 1))
        found[label] = adjust(start, np.zeros(8), np.arange(8) == 0, seen, 0.2)
    assert found["true"].depth < 0.02 < 0.05 < found["bent"].depth
    steps = np.linalg.norm(np.diff(inverse_rigid(found["bent"].cam_from_world)[:, :3, 3], axis=0), axis=1)
    np.testing.assert_allclose(steps / steps.mean(), 1, atol=0.25)
