"""Masks of single frames: which frame each belongs to, by the names of the files, and what is said about it."""

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frame_masks import FrameMasks, is_named_masks, masks_beside
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import moving_picture, write_video

FRAMES = 12


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return VideoFile(write_video(tmp_path_factory.mktemp("v") / "clip.mp4", map(moving_picture, range(FRAMES))))


@pytest.fixture
def masks(tmp_path, video):
    """Masks by these names, each with its place among them as its number of bright pixels."""

    def write(names) -> FrameMasks:
        for place, name in enumerate(names):
            mask = np.zeros((48, 64), np.uint8)
            mask.flat[: place + 1] = 255
            (tmp_path / "marks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / "marks" / f"{name}.png")
        return FrameMasks(tmp_path / "marks", video)

    return write


def places(found: FrameMasks) -> dict[int, int]:
    """Frame -> place of its mask among the files."""
    of = found.reader()
    return {n: int(mask.sum()) - 1 for n in range(FRAMES) if (mask := of(n)) is not None}


def test_masks_numbered_from_0_say_how_many_frames_have_none(masks):
    found = masks(f"{n:03d}" for n in range(5))
    assert places(found) == {n: n for n in range(5)}
    assert found.notes(range(FRAMES)) == ("7 of 12 frames have no mask in marks; they count whole",)


def test_a_complete_set_counted_from_1_needs_no_word(masks):
    found = masks(f"{n:03d}" for n in range(1, 13))
    assert places(found) == {n: n for n in range(12)}
    assert found.notes(range(FRAMES)) == ()


def test_numbers_that_end_with_the_number_of_frames_count_from_1_also_with_gaps(masks):
    found = masks(f"{n:03d}" for n in range(1, 13) if n != 4)
    assert places(found) == {n: n - (n > 3) for n in range(12) if n != 3}
    numbering, missing = found.notes(range(FRAMES))
    assert numbering == "marks is numbered from 1: mask 1 was taken for the first frame"
    assert missing.startswith("1 of 12 frames")


def test_other_numbers_with_gaps_count_from_0_which_is_said(masks):
    found = masks(f"{n:03d}" for n in (1, 2, 5, 9))
    assert places(found) == {1: 0, 2: 1, 5: 2, 9: 3}
    assert "counting from 0, so the first mask is that of frame 1" in found.notes(range(FRAMES))[0]


def test_numbers_of_another_video_are_refused(masks):
    with pytest.raises(UserError, match=r"marks: its 5 masks are numbered from 101 to 105, the video has frames 0 to"):
        masks(f"{n}" for n in range(101, 106))


def test_as_many_masks_as_frames_with_other_numbers_are_taken_in_order_which_is_said(masks):
    found = masks(f"{n}" for n in range(101, 113))
    assert places(found) == {n: n for n in range(12)}
    assert found.notes(range(FRAMES)) == ("marks is numbered from 101; its masks were taken in order",)


def test_fewer_masks_than_frames_without_numbers_are_refused(masks):
    with pytest.raises(UserError, match="its 3 masks are not numbered, the video has frames 0 to 11"):
        masks("abc")


@pytest.mark.parametrize("suffix", [".mp4", ".ogv", ".mxf", ".MP4"])
def test_a_video_of_masks_is_found_whatever_its_suffix(tmp_path, suffix):
    for name in ("clip.mp4", f"clip_masks{suffix}"):
        (tmp_path / name).touch()
    assert masks_beside(tmp_path / "clip.mp4") == tmp_path / f"clip_masks{suffix}"
    assert is_named_masks(tmp_path / f"clip_masks{suffix}")
