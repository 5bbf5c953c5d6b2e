"""A network's depth of a clip, without what masks of instruments cover in each of its frames."""

import contextlib
import itertools

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.reconstruction.network_clip import NetworkClip, find_instruments, network_motions
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.reader import FrameReader, open_source
from endodav_jax.video.undistort import Undistorter
from endodav_jax.video.undistorted_reader import UndistortedReader
from tests.media_fixtures import moving_picture, write_video

FRAMES = 8
SIZE = moving_picture(0).shape[:2]


class Wall:
    """Sees a wall in every frame."""

    config = DepthModelConfig()

    def iter_infer(self, frames, align, view_mask, on_overlap):
        for number, frame in enumerate(frames):
            yield number, np.full(frame.shape[:2], 0.5, np.float32)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(FRAMES)), rate=10)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "clip").mkdir()
    for number in range(FRAMES):
        Image.fromarray(moving_picture(number)).save(tmp_path / "clip" / f"{10 * number:03d}.png")
    return tmp_path / "clip"


def write_masks(folder, names, size=SIZE):
    """Writes for each name a mask with an instrument in column number * 4 and the three after it."""
    folder.mkdir()
    for name, number in names.items():
        mask = np.zeros(size, np.uint8)
        mask[:, 4 * number : 4 * number + 4] = 200
        Image.fromarray(mask).save(folder / name)
    return folder


def views_of(source, masks, tmp_path, **options):
    """The frames of a clip that was read with these options, without its instruments."""
    reader = FrameReader(open_source(str(source)), **options)
    return views_in(reader, masks, tmp_path)


def views_in(reader, masks, tmp_path):
    with contextlib.ExitStack() as files:
        clip = NetworkClip(reader, None, find_instruments(str(masks), reader), tmp_path, files)
        clip.infer(Wall(), "endodav", lambda rgb: None, lambda: None)
        views = list(clip())
    for view in views:
        np.testing.assert_array_equal(view.depth > 0, view.inside)
    return views


def assert_without_their_own(views, indices):
    assert [view.index for view in views] == indices
    for view in views:
        hidden = np.flatnonzero(~view.inside.any(axis=0))
        np.testing.assert_array_equal(hidden, np.arange(4 * view.index, 4 * view.index + 4))
        assert view.inside.mean() == 1 - 4 / SIZE[1]


@pytest.mark.parametrize("first", [0, 1])
def test_a_video_at_a_lower_rate_is_without_the_instruments_of_its_own_frames(video, tmp_path, first):
    masks = write_masks(tmp_path / "tools", {f"{number + first:04d}.png": number for number in range(FRAMES)})
    assert_without_their_own(views_of(video, masks, tmp_path, target_fps=5), [0, 2, 4, 6])
    assert_without_their_own(views_of(video, masks, tmp_path, max_len=3), [0, 1, 2])


def test_masks_of_the_frames_that_are_read_are_enough(video, tmp_path):
    masks = write_masks(tmp_path / "tools", {f"{number:04d}.png": number for number in (0, 2, 4, 6)})
    assert_without_their_own(views_of(video, masks, tmp_path, target_fps=5), [0, 2, 4, 6])
    with pytest.raises(UserError, match=r"--instruments .*tools: no mask for frame 1 and 3 more; give one for each"):
        views_of(video, masks, tmp_path)


def test_masks_are_those_of_the_images_that_they_are_named_after(images, tmp_path):
    names = {f"{10 * number:03d}.png": number for number in range(FRAMES)}
    masks = write_masks(tmp_path / "tools", names)
    assert_without_their_own(views_of(images, masks, tmp_path), list(range(FRAMES)))
    (masks / "030.png").unlink()
    assert_without_their_own(views_of(images, masks, tmp_path, max_len=3), [0, 1, 2])
    reader = FrameReader(open_source(str(images)))
    with pytest.raises(UserError, match="no mask for frame 3; give one for each"):  # before the network is loaded
        find_instruments(str(masks), reader)


def test_masks_that_are_named_after_nothing_are_taken_in_order_if_they_are_as_many(images, tmp_path):
    names = {f"tool_{letter}.png": number for number, letter in enumerate("abcdefgh"[:FRAMES])}
    masks = write_masks(tmp_path / "tools", names)
    assert_without_their_own(views_of(images, masks, tmp_path), list(range(FRAMES)))
    (masks / "tool_c.png").unlink()
    with pytest.raises(UserError, match="its 7 masks are not named after the 8 frames"):
        views_of(images, masks, tmp_path)


def test_a_pixel_of_a_smaller_frame_is_left_out_if_an_instrument_covers_any_of_it(video, tmp_path):
    masks = write_masks(tmp_path / "tools", {f"{number:04d}.png": number for number in range(FRAMES)})
    views = views_of(video, masks, tmp_path, max_res=SIZE[1] // 2)
    for view in views:
        assert not view.inside[:, 2 * view.index : 2 * view.index + 2].any()
        assert view.inside.sum() == view.inside.shape[0] * (view.inside.shape[1] - 2)


@pytest.mark.parametrize("of", ["both views", "one view"])
def test_masks_of_a_stereo_recording_are_of_both_views_or_of_one(tmp_path, of):
    frames = (np.concatenate([moving_picture(number)] * 2, axis=1) for number in range(FRAMES))
    video = write_video(tmp_path / "both.mp4", frames, rate=10)
    size = (SIZE[0], 2 * SIZE[1]) if of == "both views" else SIZE
    masks = write_masks(tmp_path / "tools", {f"{number:04d}.png": number for number in range(FRAMES)}, size)
    assert_without_their_own(views_of(video, masks, tmp_path, stereo="left"), list(range(FRAMES)))


def test_masks_are_undistorted_with_their_frames(video, tmp_path):
    masks = write_masks(tmp_path / "tools", {f"{number:04d}.png": number for number in range(FRAMES)})
    height, width = SIZE
    camera = tmp_path / "camera.json"
    camera.write_text(f'{{"fx": {width}, "fy": {width}, "cx": {width / 2}, "cy": {height / 2}, "k1": -0.2}}')
    undistorter = Undistorter.of(read_camera(str(camera), SIZE, SIZE), SIZE)
    reader = UndistortedReader(FrameReader(open_source(str(video))), undistorter)
    for view in views_in(reader, masks, tmp_path):
        tool = np.zeros(SIZE, bool)
        tool[:, 4 * view.index : 4 * view.index + 4] = True
        np.testing.assert_array_equal(view.inside, undistorter.mask(~tool))


def test_a_source_that_breaks_off_gives_the_frames_before(images, tmp_path):
    whole = (images / "050.png").read_bytes()
    (images / "050.png").write_bytes(whole[: len(whole) // 2])
    reader = FrameReader(open_source(str(images)))
    with contextlib.ExitStack() as files:
        clip = NetworkClip(reader, None, None, tmp_path, files)
        clip.infer(Wall(), "endodav", lambda rgb: None, lambda: None)
        assert "after 5 of 8" in str(clip.stopped)
        assert [view.index for view in clip()] == list(range(5))


def test_the_motion_of_a_source_that_breaks_off_is_that_between_the_frames_before(images, monkeypatch):
    whole = (images / "050.png").read_bytes()
    (images / "050.png").write_bytes(whole[: len(whole) // 2])
    seen = []

    def estimator(params):
        return lambda frames: ((np.eye(4), None) for _ in itertools.pairwise(seen.append(f) or f for f in frames))

    monkeypatch.setattr("endodav_jax.reconstruction.network_clip.MotionEstimator", estimator)
    motions, _ = network_motions({}, FrameReader(open_source(str(images))), 5, np.ones(SIZE, bool))
    assert (len(seen), len(motions)) == (5, 4)
