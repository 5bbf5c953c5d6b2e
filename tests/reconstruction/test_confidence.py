"""Confidence: what it is measured from tells truth from error, and what is fitted holds on what was not seen."""

import numpy as np
import pytest

from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.clip import DepthView
from endodav_jax.reconstruction.confidence import FEATURES, ConfidenceModel, measure
from endodav_jax.reconstruction.confidence_fit import fit_confidence
from endodav_jax.reconstruction.measures import ause, reliability, sparsification
from tests.bumpy_wall import INTRINSICS, SIZE, look, stroll

POSES = stroll(16)
INSIDE = np.ones(SIZE, bool)


def points_that_say(off) -> np.ndarray:
    """Points all over the frame whose parallax is sure: `off` of their place along x, 0..1."""
    places = np.random.default_rng(0).random((400, 2))
    return np.column_stack([places, off(places[:, 0]), np.full(400, 0.01)]).astype(np.float32)


AGREEING = points_that_say(np.zeros_like)


def features_of(bend=1.0, windows=None, number=8, points=AGREEING):
    """Features of a frame, by name, where the depth of one patch is off by `bend`."""
    views = []
    for place in (number, number - 6, number + 6):
        rgb, depth = look(POSES[place])
        if place == number:
            depth[20:40, 30:50] *= bend
        views.append(DepthView(place, rgb, depth, INSIDE, windows))
    motions = [POSES[number + offset] @ inverse_rigid(POSES[number]) for offset in (-6, 6)]
    measured = measure(views[0], list(zip(views[1:], motions, strict=True)), INTRINSICS, points)
    assert measured.shape == (*SIZE, len(FEATURES))
    assert np.isfinite(measured).all()
    return dict(zip(FEATURES, np.moveaxis(measured, -1, 0), strict=True))


PATCH = (slice(22, 38), slice(32, 48))


def test_neighbours_contradict_a_depth_that_is_off():
    true, off = (np.exp(np.median(features_of(bend)["off"][PATCH])) for bend in (1.0, 1.4))
    assert true < 0.03
    assert off > 0.1


def test_textures_contradict_it_too():
    assert np.median(features_of(1.1)["texture"][PATCH]) > np.median(features_of()["texture"][PATCH]) + 0.5


def test_followed_points_tell_where_depth_is_off():
    told = features_of(points=points_that_say(lambda x: np.where(x < 0.5, 0.2, 0.0)))["off"]
    assert abs(np.exp(np.median(told[:, : SIZE[1] // 3])) - 0.2) < 0.05
    assert np.exp(np.median(told[:, 2 * SIZE[1] // 3 :])) < 0.06


def test_without_points_what_a_network_usually_is_off_by_is_expected():
    assert 0.05 < np.exp(features_of(points=None)["off"]).mean() < 0.2


def test_windows_that_differ_contradict_a_depth():
    windows = np.where(np.arange(SIZE[1]) < SIZE[1] // 2, 0.3, 0.0) * np.ones(SIZE)
    told = np.exp(features_of(windows=windows.astype(np.float32))["off"])
    assert np.median(told[:, : SIZE[1] // 2]) > np.median(told[:, SIZE[1] // 2 :]) + 0.1


def test_a_frame_without_neighbours_has_features_all_the_same():
    rgb, depth = look(POSES[0])
    assert np.isfinite(measure(DepthView(0, rgb, depth, INSIDE), [], INTRINSICS)).all()


@pytest.fixture(scope="module")
def samples():
    """Errors that two features tell and the third does not: exponential about what they say."""
    random = np.random.default_rng(0)
    features = random.normal(size=(24000, len(FEATURES))).astype(np.float32)
    expected = 0.05 * np.exp(0.8 * features[:, 0] + 0.4 * features[:, 2])
    groups = np.repeat(np.arange(6), 4000)
    return features, np.minimum(random.exponential(expected), 1.5), groups


@pytest.fixture(scope="module")
def model(samples):
    features, errors, groups = samples
    seen = groups < 4
    return fit_confidence(features[seen], errors[seen], groups[seen])


def test_what_is_fitted_is_reliable_at_every_decile_of_what_was_not_seen(samples, model):
    features, errors, groups = samples
    unseen = groups >= 4
    said, found = reliability(errors[unseen], model.expected_error(features[unseen])).T
    np.testing.assert_allclose(said, found, rtol=0.3)


def test_taking_away_the_least_trusted_takes_away_error(samples, model):
    features, errors, groups = samples
    unseen = groups >= 4
    found, chance = ause(errors[unseen], model.expected_error(features[unseen]))
    assert found < 0.6 * chance
    _, curve, best = sparsification(errors[unseen], model.expected_error(features[unseen]))
    assert (curve >= best - 1e-9).all()


def test_a_model_is_read_as_it_was_written(samples, model, tmp_path):
    model.write(tmp_path / "model.json", fitted="here")
    read = ConfidenceModel.read(tmp_path / "model.json")
    features = samples[0][:100]
    np.testing.assert_allclose(read.expected_error(features), model.expected_error(features), rtol=1e-3)


def test_what_tells_nothing_weighs_nothing(model):
    np.testing.assert_allclose(model.weights, [0.8, 0.0, 0.4], atol=0.05)


@pytest.mark.parametrize("steadied", [False, True])
def test_the_shipped_model_expects_more_where_neighbours_disagree(steadied):
    shipped = ConfidenceModel.shipped(steadied)
    calm, off = features_of(), features_of(1.3)
    expected = [
        np.median(shipped.expected_error(np.stack([values[name][PATCH] for name in FEATURES], -1)))
        for values in (calm, off)
    ]
    assert expected[1] > expected[0]
