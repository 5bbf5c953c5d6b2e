"""The frames a job works on: stereo, rates, limits, and how an input is recognised."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.reader import FrameReader, open_source
from tests.media_fixtures import moving_picture, write_video


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(30)))


def test_an_input_is_a_video_a_folder_a_pattern_or_an_image(tmp_path, video):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in (2, 10):
        Image.fromarray(moving_picture(i)).save(folder / f"{i}.png")
    named = {name: open_source(str(name)) for name in (video, folder, folder / "*.png", folder / "10.png")}
    assert [(source.stem, source.count) for source in named.values()] == [
        ("clip", 30), ("frames", 2), ("frames", 2), ("10", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["none.mp4", "none.png", "none"])
def test_a_missing_input_is_one_line(tmp_path, name):
    with pytest.raises(UserError, match=f"{name}: no such file"):
        open_source(str(tmp_path / name))


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"\*\.png: holds no images"):
        open_source(str(tmp_path / "*.png"))


@pytest.mark.parametrize(
    ("stereo", "part"),
    [
        ("top", np.s_[:25]),
        ("bottom", np.s_[26:]),
        ("left", np.s_[:, :20]),
        ("right", np.s_[:, 21:]),
    ],
)
def test_stereo_cuts_one_eye_and_drops_the_middle_of_an_odd_size(tmp_path, stereo, part):
    picture = moving_picture(0, 51, 41)
    Image.fromarray(picture).save(tmp_path / "0.png")
    reader = FrameReader(open_source(str(tmp_path)), stereo=stereo)
    np.testing.assert_array_equal(next(iter(reader)).rgb, picture[part])
    assert reader.size == picture[part].shape[:2]


def test_max_res_bounds_the_longer_side_and_keeps_sizes_even(video):
    reader = FrameReader(open_source(str(video)), max_res=33)
    assert reader.size == (26, 34)
    assert {frame.rgb.shape for frame in reader} == {(26, 34, 3)}
    assert FrameReader(open_source(str(video)), max_res=64).size == (48, 64)


def test_max_len_takes_the_first_frames(video):
    reader = FrameReader(open_source(str(video)), max_len=7)
    assert [frame.index for frame in reader] == list(range(7))
    assert reader.count == 7


@pytest.mark.parametrize(("target", "step"), [(12.5, 2), (5, 5), (6.25, 4)])
def test_target_fps_takes_every_nth_frame_of_an_even_rate(video, target, step):
    reader = FrameReader(open_source(str(video)), target_fps=target)
    chosen = [frame.index for frame in reader]
    assert chosen == list(range(0, 30, step))
    assert reader.fps == Fraction(target)
    assert abs(reader.count - len(chosen)) <= 1


def test_target_fps_never_repeats_a_frame(video):
    reader = FrameReader(open_source(str(video)), target_fps=100)
    assert (len(list(reader)), reader.fps) == (30, 25)


def test_target_fps_goes_by_the_times_of_a_variable_rate(tmp_path):
    times = [*np.arange(0, 1, 0.02), *np.arange(1, 2, 0.1)]
    path = write_video(tmp_path / "v.mp4", (moving_picture(i) for i in range(len(times))), times=times)
    chosen = [frame.time for frame in FrameReader(open_source(str(path)), target_fps=10)]
    assert 18 <= len(chosen) <= 21
    assert np.diff(chosen).min() > 0.05


def test_images_have_no_times_and_are_all_taken(tmp_path):
    for i in range(5):
        Image.fromarray(moving_picture(i)).save(tmp_path / f"{i}.png")
    reader = FrameReader(open_source(str(tmp_path)), target_fps=5)
    assert (len(list(reader)), reader.fps) == (5, 5)
