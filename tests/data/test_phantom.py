"""The phantom as a data set: one line of configuration, the same frames whenever and however they are asked for."""

import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip, render_sequence
from endodav_jax.data.phantom.config import FAMILY_NAMES
from endodav_jax.data.phantom.families import FAMILIES
from tests.compilations import compilations
from tests.data.phantom_clips import HEIGHT, WIDTH, clip

CONFIG = PhantomConfig.colon(seed=3, sequences=2, frames=10, height=HEIGHT, width=WIDTH)


def test_every_family_has_its_number():
    assert tuple(FAMILIES) == FAMILY_NAMES


def test_a_sequence_follows_the_contract_of_evaluation_frames():
    frames = list(render_sequence(CONFIG, 1))
    assert [frame["frame_index"] for frame in frames] == list(range(10))
    for frame in frames:
        assert frame["frame"].shape == (HEIGHT, WIDTH, 3)
        assert frame["frame"].dtype == np.uint8
        assert frame["depth_mm"].shape == (HEIGHT, WIDTH)
        assert frame["depth_mm"].dtype == np.float32
        assert frame["cam_from_world"].shape == (4, 4)
        assert frame["cam_from_world"].dtype == np.float64
        assert frame["intrinsics"].shape == (4,)
        assert frame["intrinsics"].dtype == np.float64
        assert frame["view_mask"].dtype == bool
        assert frame["sequence"] == "colon_s3_0001"


def test_a_sequence_can_be_entered_in_the_middle():
    whole = list(render_sequence(CONFIG, 0))
    tail = list(render_sequence(CONFIG, 0, start=7))
    assert len(tail) == 3
    for a, b in zip(whole[7:], tail, strict=True):
        np.testing.assert_array_equal(a["frame"], b["frame"])
        np.testing.assert_array_equal(a["depth_mm"], b["depth_mm"])


def test_a_sequence_that_does_not_exist_is_refused():
    with pytest.raises(IndexError, match="sequence 2 of 2"):
        next(render_sequence(CONFIG, 2))


def test_seed_sequence_and_frame_decide_every_bit():
    first = clip(CONFIG, 0)
    clip.cache_clear()
    again = clip(CONFIG, 0)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)


@pytest.mark.parametrize("other", [(CONFIG, 1), (PhantomConfig.colon(seed=4, height=HEIGHT, width=WIDTH), 0)])
def test_another_sequence_or_seed_is_another_scene(other):
    first, second = clip(CONFIG, 0), clip(*other)
    assert np.abs(first["depth_mm"] - second["depth_mm"]).mean() > 1
    assert np.abs(first["frame"].astype(int) - second["frame"]).mean() > 5


def test_a_frame_alone_is_the_frame_of_a_clip():
    together = clip(CONFIG, 0)
    alone = render_clip(draw_scene(CONFIG, 0), np.array([5], np.int32), height=HEIGHT, width=WIDTH)
    for name, array in together.items():
        np.testing.assert_array_equal(np.asarray(alone[name])[0], array[5], err_msg=name)


@pytest.mark.slow
def test_any_size_can_be_rendered():
    views = render_clip(draw_scene(CONFIG, 0), np.array([0], np.int32), height=50, width=63)
    assert views["frame"].shape == (1, 50, 63, 3)
    assert (np.asarray(views["depth_mm"])[np.asarray(views["view_mask"])] > 0).mean() > 0.999


def test_one_program_renders_every_scene_of_a_family():
    clip(CONFIG, 0)
    varied = PhantomConfig.colon(
        seed=9, height=HEIGHT, width=WIDTH, noise=0.0, tool=1.0, light="flat", focal=(0.8, 0.8), tissue_motion_mm=0.5
    )
    with compilations() as compiled:
        clip(varied, 1)
    assert compiled == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "liver"), ("light", "moon"), ("height", 9), ("width", 8), ("focal", (0.9, 0.5)), ("frames", 0),
        ("sequences", 0), ("seed", -1), ("noise", -1.0), ("tool", 1.5), ("circular_view", 2.0), ("speed", (1.0, 9.0)),
        ("tissue_motion_mm", 20.0), ("exposure_drift", 3.0), ("principal_jitter", 1.0),
    ],
)  # fmt: skip
def test_a_contradiction_names_its_field(field, value):
    with pytest.raises(ValueError, match=f"phantom.{field}"):
        PhantomConfig(**{field: value})
