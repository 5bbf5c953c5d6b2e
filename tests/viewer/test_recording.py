"""What a page shows is what the commands wrote, and a click means the point under it."""

import json

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.viewer.folders import holds_results, open_folder
from endodav_jax.viewer.recording import Unit, nearest_to_ray, points_of
from tests.media_fixtures import cut_short
from tests.viewer.clips import DEPTH, FRAMES, INTRINSICS, SIZE, write_depth_folder, write_evaluation_folder


def test_a_reconstruction_has_its_lengths_interval_path_and_frames(tmp_path):
    clip = open_folder(write_depth_folder(tmp_path / "out"))
    assert (clip.title, list(clip.numbers), clip.fps) == ("clip", list(range(FRAMES)), 10.0)
    assert clip.unit == Unit("mm", (0.95, 1.05))
    assert np.allclose(clip.poses[2][:3, 3], [4, 0, 0])
    view = clip.view(1)
    assert view.rgb.shape == (*SIZE, 3)
    assert np.all(view.depth == DEPTH)
    assert np.allclose(clip.intrinsics(), INTRINSICS)


def test_a_clip_without_a_scale_says_so_and_has_no_path(tmp_path):
    clip = open_folder(write_depth_folder(tmp_path / "out", unit="", path=False))
    assert clip.unit.name == "units (up to scale)"
    assert np.all(clip.view(0).depth == np.float32(DEPTH / 10))
    assert clip.poses == [None] * FRAMES
    assert clip.unit.text(1.5) == "1.5 units (up to scale)"


def test_depth_of_one_recording_is_not_shown_with_the_path_of_another(tmp_path):
    folder = write_depth_folder(tmp_path / "out")
    about = json.loads((folder / "clip_meta.json").read_text())
    del about["pieces"]  # `infer` of this recording, into the folder of another's reconstruction
    (folder / "clip_meta.json").write_text(json.dumps(about))
    assert open_folder(folder).poses == [None] * FRAMES


def test_depth_of_a_metric_network_is_in_metres(tmp_path):
    folder = write_depth_folder(tmp_path / "out", unit="", path=False)
    about = json.loads((folder / "clip_meta.json").read_text()) | {"output": "metric_depth"}
    (folder / "clip_meta.json").write_text(json.dumps(about))
    assert open_folder(folder).unit.text(0.05) == "0.05 m"


def test_an_evaluation_shows_the_error_against_the_truth(tmp_path):
    clip = open_folder(write_evaluation_folder(tmp_path / "out"), "seq_1")
    view = clip.view(0)
    assert np.allclose(view.judged[4:], 0.1, atol=1e-6)
    assert np.all(view.judged[:4] == 0)
    assert view.truth.max() == DEPTH


def test_points_lie_on_the_plane_and_a_click_finds_the_one_under_it(tmp_path):
    clip = open_folder(write_depth_folder(tmp_path / "out"))
    points, pixels = points_of(clip.view(0), clip.intrinsics(), 10**6)
    assert np.allclose(points[:, 2], DEPTH)
    row, column = 10, 20
    wanted = points[np.flatnonzero(pixels == row * SIZE[1] + column)[0]]
    assert np.allclose(wanted[:2], [DEPTH * (column - 31.5) / 60, DEPTH * (row - 23.5) / 60], atol=1e-4)
    assert np.array_equal(points[nearest_to_ray(points, np.zeros(3), wanted)], wanted)
    assert nearest_to_ray(points, np.zeros(3), np.array([0, 0, -1.0])) is None


def test_the_results_of_several_recordings_lie_one_level_down(tmp_path):
    batch = tmp_path / "batch"
    batch.mkdir()
    for name in ("b", "a", "c"):
        write_depth_folder(batch / name, path=name != "b")
    assert holds_results(batch)
    first, chosen = open_folder(batch), open_folder(batch, "b")
    assert "3 clips in this folder; choose with --sequence: a, b, c" in first.notes
    assert first.poses[0] is not None
    assert chosen.poses[0] is None
    with pytest.raises(UserError, match=r"--sequence d: .* has a, b, c"):
        open_folder(batch, "d")


def test_a_folder_of_images_is_a_recording_even_with_results_inside(tmp_path):
    write_depth_folder(tmp_path / "out")
    assert holds_results(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "000.png")
    assert not holds_results(tmp_path)
    assert holds_results(tmp_path / "out")


def path_of(pose):
    return json.dumps({"frames": [{"frame": 0, "piece": 1, "cam_from_world": pose}]})


def stored_without(file, name, value=None):
    """Writes an .npz again without an array, or with another in its place."""
    with np.load(file) as stored:
        arrays = {key: stored[key] for key in stored if key != name}
    np.savez(file, **arrays, **({} if value is None else {name: value}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "clip_depths.npz").unlink(), "--save npz"),
        (lambda folder: (folder / "clip_src.mp4").unlink(), "--videos src"),
        (lambda folder: (folder / "clip_meta.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "clip_depths.npz").write_bytes(b"PK"), "cannot be read"),
        (lambda folder: (folder / "clip_meta.json").write_text("[]"), "not what our commands write"),
        (lambda folder: (folder / "cameras.json").write_text("{}"), "not the camera path .*frames"),
        (lambda folder: (folder / "cameras.json").write_text(path_of([[1.0, 0.0], [0.0]])), "not the camera path"),
        (
            lambda folder: (folder / "cameras.json").write_text(path_of(np.zeros((4, 4)).tolist())),
            "not the camera path",
        ),
        (lambda folder: (folder / "mesh.glb").write_bytes(b"glTF\2\0\0\0\x40\0\0\0"), "damaged, or not a binary glTF"),
        (lambda folder: stored_without(folder / "clip_depths.npz", "frame_index"), "has no frame_index"),
        (lambda folder: stored_without(folder / "clip_depths.npz", "intrinsics", np.ones(3)), "are not fx, fy, cx, cy"),
        (
            lambda folder: stored_without(folder / "clip_depths.npz", "intrinsics", np.zeros(4)),
            "are not fx, fy, cx, cy",
        ),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "contains no depth"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_line(tmp_path, spoil, said):
    folder = write_depth_folder(tmp_path / "out")
    spoil(folder)
    with pytest.raises(UserError, match=said) as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_evaluation_that_was_cut_short_is_one_line(tmp_path, share):
    folder = write_evaluation_folder(tmp_path / "out")
    (file,) = folder.rglob("*.npz")
    cut_short(file, share)
    with pytest.raises(UserError, match="run `endodav evaluate` again") as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


def test_a_sequence_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(UserError, match="seq_1"):
        open_folder(write_evaluation_folder(tmp_path / "out"), "other")
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {}
