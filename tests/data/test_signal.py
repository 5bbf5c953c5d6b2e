"""What a video holds for depth to be learned from: parallax, with truth and without."""

import dataclasses
import math

import cv2
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from endodav_jax.data.phantom.config import FAMILY_NAMES
from endodav_jax.data.signal import FOLLOWED, Pair, Signal, measure, parallax, photometric_error, table, true_signal
from endodav_jax.losses.photometric import photometric_error as loss

HEIGHT, WIDTH = 128, 160  # of pretraining
SCENES, STARTS = 8, (5, 20, 40)


def pairs_of(family: str, interval: int, scenes: int = SCENES, **fields) -> list[Pair]:
    config = PhantomConfig.of(family, seed=77, height=HEIGHT, width=WIDTH, **fields)
    numbers = np.array([n for start in STARTS for n in (start, start + interval)], np.int32)
    pairs = []
    for scene in range(scenes):
        clip = render_clip(draw_scene(config, scene), numbers, height=HEIGHT, width=WIDTH)
        clip = {name: np.asarray(array) for name, array in clip.items()}
        for a in range(0, len(numbers), 2):
            pose_a, pose_b = clip["cam_from_world"][a : a + 2].astype(np.float64)
            pairs.append(
                Pair(
                    clip["frame"][a],
                    clip["frame"][a + 1],
                    clip["view_mask"][a],
                    clip["intrinsics"][a],
                    clip["depth_mm"][a],
                    pose_b @ np.linalg.inv(pose_a),
                )
            )
    return pairs


# Frames between those that training compares, so that there is parallax enough at 128x160.
INTERVALS = {"colon": 4, "organ": 4, "things": 2, "airway": 2, "stomach": 4, "sinus": 4, "caecum": 6}
# How much worse a plane explains a frame than the truth does; the end of a caecum is nearly one.
PLANE = {"caecum": 1.7}


@pytest.fixture(scope="module")
def organ() -> list[Pair]:
    return pairs_of("organ", INTERVALS["organ"])


def reaches_the_thresholds(pairs: list[Pair], plane: float = 2.0) -> None:
    found = true_signal(pairs)
    assert found.parallax >= 1.5
    assert found.ratios[0.0] >= plane
    assert found.ratios[0.7] >= 1.15
    assert found.ratios[0.9] > 1.0


def test_relief_shows_in_what_fine_tuning_learns_from(organ):
    reaches_the_thresholds(organ)


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name in FAMILY_NAMES if name != "organ"])
def test_relief_shows_in_every_family_at_its_interval(family):
    reaches_the_thresholds(pairs_of(family, INTERVALS[family]), PLANE.get(family, 2.0))


def agrees(pairs: list[Pair]) -> None:
    found = [(*parallax(pair), true_signal([pair]).parallax) for pair in pairs]
    usable = np.array([(estimated, true) for estimated, followed, true in found if followed >= FOLLOWED])
    assert len(usable) > 0.6 * len(pairs)
    estimated, true = np.median(usable, 0)
    assert estimated == pytest.approx(true, rel=0.25)


def test_parallax_is_estimated_without_truth(organ):
    agrees(organ)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "interval"),
    [("organ", 2), ("things", 2), ("sinus", 4), ("stomach", 4), ("airway", 2), ("caecum", 4), ("colon", 2)],
)
def test_parallax_is_estimated_without_truth_on_other_families(family, interval):
    agrees(pairs_of(family, interval))


def test_a_camera_that_only_turns_shows_no_parallax(organ):
    pair = organ[0]
    fx, fy, cx, cy = pair.intrinsics
    camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    angle = 0.03
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned = warp(pair.first, camera @ turn @ np.linalg.inv(camera))
    motion = np.eye(4)
    motion[:3, :3] = turn
    only_turned = Pair(pair.first, turned, pair.counted, pair.intrinsics, pair.depth_mm, motion)
    estimated, followed = parallax(only_turned)
    assert followed > 0.6
    assert estimated < 0.15
    assert true_signal([only_turned]).parallax < 1e-3


def warp(frame: np.ndarray, homography: np.ndarray) -> np.ndarray:
    return cv2.warpPerspective(frame, homography, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def test_the_error_is_the_one_that_training_lowers():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 24, 31, 3), np.uint8)
    expected = np.asarray(loss(a[None] / np.float32(255), b[None] / np.float32(255), 0.85))[0]
    np.testing.assert_allclose(photometric_error(a, b), expected, atol=2e-5)


def test_still_repeated_and_blurred_frames_are_counted(organ):
    frames = [pair.first for pair in organ[:12]]
    moved = [np.roll(frame, 3, 1) for frame in frames]
    noisy = np.clip(frames[3] + np.random.default_rng(0).normal(0, 1.5, frames[3].shape), 0, 255).astype(np.uint8)
    seconds = [frames[0], frames[1], frames[2], noisy, cv2.GaussianBlur(moved[4], (0, 0), 4), *moved[5:]]
    counted, intrinsics = organ[0].counted, organ[0].intrinsics
    pairs = [Pair(a, b, counted, intrinsics) for a, b in zip(frames, seconds, strict=True)]
    found = measure(lambda interval: pairs if interval == 1 else [])
    assert found.duplicates == pytest.approx(3 / 12)
    assert found.still == pytest.approx(1 / 12)
    assert found.blurred == pytest.approx(1 / 12)
    assert not found.truth


def test_blurred_frames_are_not_taken_for_motion(organ):
    def measured(blurred: tuple[int, ...]) -> Signal:
        seconds = [cv2.GaussianBlur(p.second, (0, 0), 4) if i in blurred else p.second for i, p in enumerate(organ)]
        pairs = [dataclasses.replace(p, second=second) for p, second in zip(organ, seconds, strict=True)]
        return measure(lambda interval: pairs if interval == 1 else [])

    clean, found = measured(()), measured(tuple(range(0, len(organ), 3)))
    assert found.blurred == pytest.approx(1 / 3, abs=0.05)
    assert found.parallax[1] == pytest.approx(clean.parallax[1], rel=0.15)


def test_a_camera_that_does_not_travel_is_said_to_teach_nothing(organ):
    pairs = [dataclasses.replace(pair, second=pair.first) for pair in organ]
    assert "depth cannot be learned" in measure(lambda interval: pairs).line()


def test_frames_without_pairs_have_no_interval_to_recommend():
    line = measure(lambda interval: []).line()
    assert line.startswith("parallax not measurable")
    assert "recommended" not in line


def signal(parallax: dict[int, float], interval: int) -> Signal:
    return Signal(parallax, dict.fromkeys(parallax, 1.0), {}, 0.0, 0.0, 0.0, interval)


def test_parallax_is_said_to_be_a_lower_bound_where_much_of_the_flow_is_lost():
    found = dataclasses.replace(signal({1: 1.0, 8: 2.0}, 4), followed={1: 0.9, 8: 0.5})
    assert "1.00 px every frame, over 2.00 px every 8th" in found.line()
    assert ">2.00" in table(found)[2]
    assert ">" not in table(found)[1]


def test_training_at_too_small_an_interval_is_warned_of():
    found = signal({1: 0.2, 2: 0.4, 4: 0.8, 8: 1.6}, 8)
    assert "0.20 px" in found.warning(1)
    assert "frame_max_interval=8" in found.warning(1)
    assert found.warning(8) == ""


def test_a_lower_bound_is_no_ground_for_a_warning():
    found = dataclasses.replace(signal({1: 0.9, 8: 0.5}, 1), followed={1: 0.9, 8: 0.3})
    assert "0.90 px" in found.warning(1)
    assert found.warning(8) == ""
    found = dataclasses.replace(signal({1: 0.4, 2: 0.8}, 2), followed={1: 0.95, 2: 0.5})
    assert found.warning(1).endswith("set data.frame_max_interval=2 or data.frame_interval=auto")


@pytest.mark.parametrize("used", [1, 8])
def test_no_interval_is_recommended_where_none_has_enough(used):
    warning = signal({1: 0.1, 2: 0.2, 4: 0.4, 8: 0.8, 16: math.nan}, 8).warning(used)
    assert warning.endswith("no interval up to 16 has enough, so the camera must move more")
    assert "frame_max_interval" not in warning


def test_the_interval_recommended_has_parallax_enough():
    found = measure(lambda interval: pairs_of("organ", interval, scenes=3), (1, 2, 4, 8))
    assert found.parallax[1] < found.parallax[2] < found.parallax[4]
    assert found.parallax[2] < 1.5
    assert 2 < found.interval <= 8
    assert "70%" in table(found)[0]
    assert f"interval recommended: {found.interval}" in table(found)[-1]
