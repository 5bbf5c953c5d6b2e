"""The view inside a dark border is found, and where there is none, none is found."""

import cv2
import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
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
    assert detect_view(frames_of(np.ones((HEIGHT, WIDTH), bool))) is None
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
