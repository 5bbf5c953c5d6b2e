"""Camera paths through a data set, from the depth of the network that comes with the package."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.data.camera_paths import LOST
from endodav_jax.data.config import PhantomData
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.data.rendered import render
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction import paths as paths_module
from endodav_jax.reconstruction.clip import given_path
from endodav_jax.reconstruction.measures import path_errors
from endodav_jax.reconstruction.paths import POINTS, solve_paths
from tests.reconstruction.test_steady import Points

FRAMES = 24


@pytest.mark.slow
def test_a_path_of_every_video_is_found_before_depth_is_any_good(tmp_path):
    train, _ = render(PhantomData(family="organ", seed=4, sequences=2, frames=FRAMES, height=96, width=128), tmp_path)
    split = PreparedSplit.open(train, "train")
    model, params, _ = load_model(SHIPPED)
    paths = solve_paths(split, model, params["depth"], (112, 140))
    assert paths.cam_from_world.shape == (2 * FRAMES, 4, 4)
    assert (paths.piece != LOST).mean() > 0.8
    videos = EvaluationVideos(train, "train")
    for sequence, begin in zip(split.sequences, split.offsets[:-1], strict=True):
        frames = list(videos.frames(sequence))
        first, length = max(
            (run for run in paths.stretches() if begin <= run[0] < begin + FRAMES), key=lambda run: run[1]
        )
        found = inverse_rigid(paths.cam_from_world[first : first + length])[:, :3, 3]
        truth = [frame.cam_from_world for frame in frames[first - begin : first - begin + length]]
        assert path_errors(found, inverse_rigid(np.stack(truth))[:, :3, 3], free_scale=True).share < 0.02
        # What a frame's depth says in the path's unit follows the truth: its unit is one for all frames.
        depth = [np.log(f.truth_mm[f.truth_mm > 0]).mean() for f in frames[first - begin : first - begin + length]]
        left = paths.log_depth[first : first + length] - depth
        assert left.std() < 0.1
        # Points say more: within a frame their depth is right, one by one.
        off, weights = [], []
        for number, frame in zip(range(first, first + length), frames[first - begin :], strict=False):
            x, y, told, sure = paths.points[number][paths.points[number, :, 3] > 0].T
            truth = frame.truth_mm[np.round(y).astype(int), np.round(x).astype(int)]
            wrong = (told - np.log(truth))[truth > 0]
            off.append(np.abs(wrong - np.median(wrong)))
            weights.append(sure[truth > 0])
            assert len(sure) <= POINTS
        off, weights = np.concatenate(off), np.concatenate(weights)
        assert len(off) > 30 * length
        assert np.average(off, weights=weights) < min(0.05, off.mean())  # what counts more is better
    assert len(set(paths.piece[:FRAMES]) & set(paths.piece[FRAMES:]) - {LOST}) == 0


@pytest.mark.slow
def test_a_frame_that_no_points_were_followed_through_counts_as_lost(tmp_path, monkeypatch):
    def path_without_points_in_the_third_frame(clip, intrinsics):
        path = given_path(clip, intrinsics, [np.eye(4)] * 4)
        rows = np.column_stack([np.full((12, 2), 0.5), np.zeros(12), np.full(12, 0.01)]).astype(np.float32)
        told = [dataclasses.replace(frame, triangulated=rows) for frame in path.frames]
        told[2] = dataclasses.replace(told[2], triangulated=None)
        return dataclasses.replace(path, frames=tuple(told)), Points()

    monkeypatch.setattr(paths_module, "followed_path", path_without_points_in_the_third_frame)
    phantom = PhantomData(family="organ", sequences=1, frames=4, held_out_frames=2, height=56, width=56)
    split = PreparedSplit.open(render(phantom, tmp_path)[0], "train")
    model, params, _ = load_model(SHIPPED)
    paths = solve_paths(split, model, params["depth"], (28, 28))
    assert (paths.piece == LOST).tolist() == [False, False, True, False]
    assert np.isnan(paths.cam_from_world).all((1, 2)).tolist() == [False, False, True, False]
