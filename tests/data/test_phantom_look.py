"""What light, sensor, instrument and breathing do to the phantom's frames, each switch alone."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig
from tests.data.phantom_clips import HEIGHT, WIDTH, clip

FAMILIES = ("colon", "organ")


def quiet(family: str, **fields) -> PhantomConfig:
    """A lit scene without noise, instrument, breathing or a round view."""
    still = {"noise": 0.0, "tool": 0.0, "tissue_motion_mm": 0.0, "circular_view": 0.0, "exposure_drift": 0.0}
    return PhantomConfig(**{"family": family, "seed": 2, "height": HEIGHT, "width": WIDTH} | still | fields)


def statistics(family: str) -> np.ndarray:
    """Per sequence: median depth, and green and blue over red."""
    rows = []
    for sequence in range(8):
        views = clip(quiet(family), sequence)
        red, green, blue = views["frame"].reshape(-1, 3).mean(0)
        rows.append([np.median(views["depth_mm"]), green / red, blue / red])
    return np.array(rows)


def test_the_families_differ_in_distance_and_colour():
    colon, organ = statistics("colon"), statistics("organ")
    pooled = np.sqrt((colon.var(0) + organ.var(0)) / 2)
    separation = np.abs(colon.mean(0) - organ.mean(0)) / pooled
    assert np.median(organ[:, 0]) > 1.5 * np.median(colon[:, 0])
    assert separation[0] > 1.5
    assert separation[1:].max() > 0.8


# In the tube distance is all; in the cavity the narrow beam and the slant of organs matter as much.
@pytest.mark.parametrize(("family", "most"), [("colon", -0.7), ("organ", -0.2)])
def test_light_carried_by_the_camera_falls_off_with_distance(family, most):
    correlations = []
    for sequence in range(6):
        lit, flat = clip(quiet(family, specular=False), sequence), clip(quiet(family, light="flat"), sequence)
        # Over the picture under a lamp far away, so that dark organs do not look far.
        lightness = np.log((lit["frame"][0].mean(-1) + 4) / (flat["frame"][0].mean(-1) + 4))
        correlations.append(np.corrcoef(lightness.ravel(), np.log(lit["depth_mm"][0]).ravel())[0, 1])
    assert np.mean(correlations) < most


@pytest.mark.parametrize("family", FAMILIES)
def test_automatic_exposure_keeps_frames_neither_black_nor_white(family):
    for sequence in range(6):
        grey = clip(quiet(family), sequence)["frame"].mean(-1)
        assert 50 < grey.mean() < 210
        assert (grey > 250).mean() < 0.15


def test_brightness_drift_changes_frames_over_time_alone():
    steady, drifting = quiet("colon"), quiet("colon", exposure_drift=0.3)
    ratios = np.array([
        clip(drifting, 0, start)["frame"].mean() / clip(steady, 0, start)["frame"].mean() for start in (0, 24, 48)
    ])  # fmt: skip
    assert np.ptp(ratios) > 0.01
    np.testing.assert_array_equal(clip(drifting, 0)["depth_mm"], clip(steady, 0)["depth_mm"])


@pytest.mark.parametrize("family", FAMILIES)
def test_highlights_only_brighten(family):
    dull, wet = clip(quiet(family, specular=False), 1), clip(quiet(family), 1)
    near_white = [(views["frame"].min(-1) > 235).mean() for views in (dull, wet)]
    assert near_white[1] >= near_white[0]
    assert not np.array_equal(dull["frame"], wet["frame"])


def test_noise_is_fresh_in_every_frame_and_leaves_the_geometry_alone():
    clean, noisy = clip(quiet("colon"), 0), clip(quiet("colon", noise=6.0), 0)
    difference = noisy["frame"].astype(float) - clean["frame"]
    assert 1.5 < difference.std() < 10.0
    assert abs(difference.mean()) < 0.5
    assert abs(np.corrcoef(difference[0].ravel(), difference[1].ravel())[0, 1]) < 0.05
    np.testing.assert_array_equal(clean["depth_mm"], noisy["depth_mm"])


def test_a_round_view_is_black_and_without_depth_outside():
    views = clip(quiet("colon", circular_view=1.0), 0)
    mask = views["view_mask"]
    assert 0.2 < mask.mean() < 0.98
    assert not mask[:, 0, 0].any()
    assert views["frame"][~mask].max() == 0
    assert views["depth_mm"][~mask].max() == 0
    assert (views["depth_mm"][mask] > 0).mean() > 0.999
    whole = clip(quiet("colon"), 0)
    assert whole["view_mask"].all()
    np.testing.assert_array_equal(whole["depth_mm"][mask], views["depth_mm"][mask])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_instrument_covers_what_lies_behind_it(family):
    covered = 0
    for sequence in range(6):
        without, with_tool = clip(quiet(family), sequence), clip(quiet(family, tool=1.0), sequence)
        tool = with_tool["tool"]
        covered += tool.sum()
        assert not without["tool"].any()
        assert (with_tool["depth_mm"][tool] < without["depth_mm"][tool] + 1e-3).all()
        np.testing.assert_array_equal(with_tool["depth_mm"][~tool], without["depth_mm"][~tool])
    assert covered > 100


@pytest.mark.parametrize("family", FAMILIES)
def test_breathing_moves_the_tissue_a_little_and_the_camera_not(family):
    rigid, breathing = clip(quiet(family), 0), clip(quiet(family, tissue_motion_mm=0.5), 0)
    np.testing.assert_array_equal(rigid["cam_from_world"], breathing["cam_from_world"])
    shift = np.abs(rigid["depth_mm"] - breathing["depth_mm"])
    assert 0.01 < np.median(shift) < 3.0


def test_flat_light_shows_reflectance_alone():
    views = clip(PhantomConfig.ideal("colon", seed=2, height=HEIGHT, width=WIDTH), 0)
    grey, depth = views["frame"].mean(-1), views["depth_mm"]
    assert abs(np.corrcoef(grey.ravel(), depth.ravel())[0, 1]) < 0.6
    assert 20 < grey.mean() < 240


def test_vignette_and_blur_are_switches():
    plain = dataclasses.replace(quiet("organ"), vignette=False, blur=False)
    sharp, dark = clip(plain, 0)["frame"].astype(float), clip(dataclasses.replace(plain, vignette=True), 0)["frame"]
    corner, middle = (slice(None), slice(0, 8), slice(0, 8)), (slice(None), slice(28, 36), slice(36, 44))
    assert dark[corner].mean() / dark[middle].mean() < sharp[corner].mean() / sharp[middle].mean()
    soft = [clip(dataclasses.replace(plain, blur=True), i)["frame"].astype(float) for i in range(4)]
    hard = [clip(plain, i)["frame"].astype(float) for i in range(4)]
    roughness = [np.mean([np.abs(np.diff(f, axis=2)).mean() for f in frames]) for frames in (soft, hard)]
    assert roughness[0] < roughness[1]
