"""The view inside a dark border is found, and where there is none, none is found."""

import cv2
import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.overlays import Overlays, find_overlays
from endodav_jax.video.view_mask import detect_view, read_view
from tests.media_fixtures import moving_picture

HEIGHT, WIDTH = 240, 320


def frames_of(view: np.ndarray, border: int = 4) -> list[np.ndarray]:
    """Frames with tissue and a wandering dark lumen inside `view` and a noisy border outside, with text in it."""
    generator = np.random.default_rng(0)
    frames = []
    for i in range(12):
        frame = moving_picture(i, HEIGHT, WIDTH)
        frame = cv2.circle(frame, (90 + 12 * i, 120), 30, (3, 2, 2), -1)
        noise = generator.integers(0, border + 1, frame.shape, dtype=np.uint8)
        frame = np.where(view[..., None], frame, noise)
        frames.append(cv2.putText(np.ascontiguousarray(frame), "12:30", (2, 12), 0, 0.4, (255, 255, 255)))
    return frames


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("border", [4, 20])
@pytest.mark.parametrize(
    "view", [disc(160, 120, 110), disc(150, 125, 150), disc(170, 110, 165)], ids=["whole", "cut twice", "wide"]
)
def test_a_circle_is_found_whether_or_not_the_frame_cuts_it(view, border):
    found = detect_view(frames_of(view, border))
    assert overlap(found, view) > 0.97
    assert (found & ~view).mean() < 0.005


def test_an_octagon_and_a_rectangle_are_found_as_they_are():
    octagon = np.zeros((HEIGHT, WIDTH), np.uint8)
    corners = [(80, 10), (240, 10), (300, 60), (300, 180), (240, 230), (80, 230), (20, 180), (20, 60)]
    cv2.fillConvexPoly(octagon, np.array(corners), 1)
    rectangle = np.zeros((HEIGHT, WIDTH), bool)
    rectangle[20:220, 40:280] = True
    for view in (octagon.astype(bool), rectangle):
        assert overlap(detect_view(frames_of(view)), view) > 0.96


def test_a_full_frame_has_no_view_to_find():
    assert detect_view(clip(lambda frame, i: frame)) is None
    text = detect_view(frames_of(np.ones((HEIGHT, WIDTH), bool)))  # but for what is written over it
    letters = cv2.putText(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "12:30", (2, 12), 0, 0.4, (255, 255, 255))
    assert text[letters[..., 0] > 200].mean() < 0.1
    assert text.mean() > 0.95
    assert detect_view([np.zeros((HEIGHT, WIDTH, 3), np.uint8)]) is None


def test_a_mask_file_is_read_and_resized_with_the_frames(tmp_path):
    view = disc(160, 120, 100)
    Image.fromarray(view).save(tmp_path / "m.png")
    path = str(tmp_path / "m.png")
    np.testing.assert_array_equal(read_view(path, (HEIGHT, WIDTH), (HEIGHT, WIDTH)), view)
    half = read_view(path, (HEIGHT // 2, WIDTH // 2), (HEIGHT, WIDTH))
    assert abs(half.mean() - view.mean()) < 0.01


def test_a_mask_of_another_size_or_of_nothing_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(UserError, match=r"m\.png: the mask is 6x4, the frames are 320x240"):
        read_view(str(tmp_path / "m.png"), (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    with pytest.raises(UserError, match="0 everywhere"):
        read_view(str(tmp_path / "m.png"), (4, 6), (4, 6))


def clip(draw, count: int = 16) -> list[np.ndarray]:
    """Tissue that moves over the whole frame, with what `draw(frame, i)` draws over it."""
    return [draw(np.ascontiguousarray(moving_picture(5 * i, HEIGHT, WIDTH)), i) for i in range(count)]


def caption(frame, _):
    return cv2.putText(frame, "LOGO 7", (200, 225), 0, 0.8, (255, 255, 255), 2)


def test_text_that_is_constant_over_a_full_frame_is_left_out():
    view = detect_view(clip(caption))
    text = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    letters = caption(text, 0).max(axis=-1) > 0
    assert not view[letters].any()
    assert view[: HEIGHT * 3 // 4].all()
    assert view.mean() > 0.93


def test_a_bright_panel_beside_the_view_is_no_part_of_it():
    def panel(frame, _):
        frame[:, :100] = (200, 205, 210)
        return cv2.putText(frame, "ID 1", (10, 60), 0, 0.7, (20, 20, 20), 2)

    view = detect_view(clip(panel))
    assert not view[:, :95].any()
    assert view[20:-20, 115:-10].all()


def test_text_that_touches_a_round_view_does_not_stretch_it():
    round_view = disc(160, 120, 100)

    def draw(frame, i):
        frame = np.ascontiguousarray(np.where(round_view[..., None], frame, 4).astype(np.uint8))
        cv2.rectangle(frame, (220, 20), (315, 75), (230, 230, 230), -1)
        return frame

    view = detect_view(clip(draw))
    assert overlap(view, round_view & ~cv2.rectangle(np.zeros((HEIGHT, WIDTH), np.uint8), (220, 20), (315, 75), 1, -1)
                   .astype(bool)) > 0.95  # fmt: skip
    assert not view[20:75, 250:315].any()


def test_in_a_clip_that_stands_still_nothing_is_taken_for_text():
    still = [caption(moving_picture(0, HEIGHT, WIDTH), 0)] * 16
    assert detect_view(still) is None
    assert find_overlays(still) == Overlays()
    assert find_overlays(clip(caption, count=3)) == Overlays()


def test_text_that_changes_and_reflections_inside_the_view_stay():
    def draw(frame, i):
        cv2.putText(frame, f"{i:02d}", (200, 225), 0, 0.8, (255 - 10 * i, 255, 255), 2)
        return cv2.circle(frame, (160, 120), 12, (255, 255, 255), -1)  # saturated all the time

    view = detect_view(clip(draw))
    assert view is None or view[100:140, 140:180].all()


@pytest.mark.parametrize("place", [(10, 12), (210, 150)])
def test_a_picture_in_the_picture_is_named(place):
    left, top = place

    def draw(frame, i):
        small = 255 - moving_picture(40 - 2 * i, 72, 96)
        frame[top : top + 72, left : left + 96] = small
        return frame

    (inset,) = find_overlays(clip(draw)).insets
    assert np.abs(np.array(inset) - (left, top, 96, 72)).max() <= 3
    (note,) = find_overlays(clip(draw)).notes()
    assert note.startswith("a picture in the picture, ")
    assert find_overlays(clip(lambda frame, i: frame)).insets == ()
    assert find_overlays(frames_of(disc(160, 120, 110))).insets == ()
