"""A step that was not finite, or whose depth is dead, is named exactly, however late one looks."""

import numpy as np
import pytest

from endodav_jax.data.config import DataConfig
from endodav_jax.data.signal import Signal
from endodav_jax.errors import UserError
from endodav_jax.training import health, parallel
from endodav_jax.training.loop import _signal_lines
from endodav_jax.training.watch import Watch

SEQUENCES = ("colon_0", "colon_1")


def step(watch: Watch, number: int, pose_norm: float = 1.0, first_frame: int = 5, **measured: float) -> None:
    """Adds a step on a clip of the second sequence."""
    values = dict(zip(health.MEASURED, (2.0, 0.5, 0.0, 0.1), strict=True))
    values |= {health.PREFIX + name: value for name, value in measured.items()}
    metrics = {"loss": 0.1, "gradient_norm/pose": pose_norm, "finite": bool(np.isfinite(pose_norm)), **values}
    batch = {"sequence": np.array([1]), "frame_index": np.array([[first_frame, first_frame + 1]])}
    watch.add(number, parallel.replicate({name: np.asarray(value) for name, value in metrics.items()}), batch)


def test_the_first_refused_step_is_named_with_its_group_and_clip():
    watch = Watch(SEQUENCES)
    step(watch, 11)
    step(watch, 12, np.nan, first_frame=40)
    step(watch, 13, np.inf, first_frame=60)
    with pytest.raises(UserError, match=r"^step 12: gradient_norm/pose is not finite, on colon_1 frames 40 to 41; "):
        watch.look()


def test_finite_steps_are_forgotten_once_looked_at():
    watch = Watch(SEQUENCES)
    step(watch, 1)
    watch.look()
    step(watch, 2)
    watch.look()


def test_steps_that_may_be_skipped_are_no_reason_to_stop_and_count_in_no_mean():
    watch = Watch(SEQUENCES, skip=True)
    step(watch, 1, np.nan, median_depth=np.nan)
    assert watch.look() == {}
    step(watch, 2, median_depth=3.0)
    step(watch, 3, np.nan, median_depth=np.nan)
    assert watch.look()[health.MEDIAN_DEPTH] == 3.0


def test_a_dead_output_stops_the_run_naming_step_and_cause():
    watch = Watch(SEQUENCES)
    step(watch, 7, zero_share=0.5)
    step(watch, 8, zero_share=0.995)
    with pytest.raises(UserError, match=r"^step 8: .* is 0 at 99\.5% of the pixels of colon_1 .*its last ReLU is dead"):
        watch.look()


def test_level_and_relief_are_means_and_compared_with_the_first_look():
    watch = Watch(SEQUENCES)
    step(watch, 1, median_depth=1.0)
    step(watch, 2, median_depth=3.0)
    assert watch.look()[health.DRIFT] == 1.0
    step(watch, 3, median_depth=3.0, relief=0.4)
    looked = watch.look()
    assert looked[health.DRIFT] == 1.5
    assert looked[health.RELIEF_KEPT] == pytest.approx(0.8)


def test_a_resumed_run_compares_with_the_start_of_the_one_before():
    before, after = Watch(SEQUENCES), Watch(SEQUENCES)
    step(before, 1, relief=0.8)
    before.look()
    after.start = before.start
    step(after, 2, relief=0.6)
    assert after.look()[health.RELIEF_KEPT] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("measured", "line"),
    [
        ({"relief": 0.2}, "step 3: relief is 0.40 of its value at the start: depth is flattening"),
        ({"median_depth": 5.0}, "step 3: median depth is 2.50 times its value at the start"),
        ({"median_depth": 0.5}, "step 3: median depth is 0.25 times its value at the start"),
    ],
)
def test_what_flattens_or_drifts_is_told_once(measured, line, capsys):
    watch = Watch(SEQUENCES)
    step(watch, 1)
    step(watch, 2)
    watch.look()
    assert capsys.readouterr().err == ""
    for number in (3, 4):
        step(watch, number, **measured)
        watch.look()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(line)


@pytest.mark.parametrize(
    ("loss", "advised"),
    [
        ({}, ("projection_weight", "projection_relative")),
        ({"relative": True}, ("projection_weight",)),
        ({"projection": False}, ()),
    ],
)
def test_no_advice_is_given_that_is_followed_already(loss, advised, capsys):
    watch = Watch(SEQUENCES, **loss)
    step(watch, 1)
    watch.look()
    step(watch, 2, relief=0.2, median_depth=5.0)
    watch.look()
    drift, relief = capsys.readouterr().err.splitlines()
    assert [name for name in ("projection_weight", "projection_relative") if name in drift] == list(advised)
    assert ("projection_weight" in relief) == bool(advised)


@pytest.mark.parametrize(
    ("parallax", "interval", "warned"), [(0.4, "drawn", True), (1.2, "drawn", False), (0.4, "auto", False)]
)
def test_data_with_little_parallax_are_warned_of_at_the_start(parallax, interval, warned):
    found = Signal({1: parallax, 4: 4 * parallax}, {1: 1.0, 4: 1.0}, {}, 0.0, 0.0, 0.0, interval=4)
    first, *others = _signal_lines(found, DataConfig(frame_interval=interval))
    assert first.startswith(f"data: parallax {parallax:.2f} px every frame")
    assert [
        line.startswith("warning: parallax of 0.40 px between frames 1 apart is under 1 px") for line in others
    ] == ([True] if warned else [])
