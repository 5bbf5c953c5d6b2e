"""Own sequences below a path: all of them are found, numbered as their names say, and nothing vanishes in silence."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.data.verify import verify_source
from endodav_jax.errors import UserError
from endodav_jax.video.encoder import mp4_writer
from tests.media_fixtures import jpeg_bytes, mjpeg_avi, numbered_picture, shown_number, write_video

DEPTH = np.full((64, 80), 5000, np.uint16)


def write_images(folder, names, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start):
        Image.fromarray(numbered_picture(number)).save(folder / name)


def write_depths(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(DEPTH + np.uint16(number)).save(folder / name)


def clip(path, count=5):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, map(numbered_picture, range(count)))


def numbers(source, sequence) -> list[int]:
    return [shown_number(frame.frame) for frame in source.read(sequence)]


def notes(source) -> str:
    return "\n".join(note for name in source.sequences("train") for note in source.describe(name).notes)


def test_links_that_lead_back_multiply_no_sequence(tmp_path):
    clip(tmp_path / "root/v.mp4")
    clip(tmp_path / "root/inner/w.mp4")
    clip(tmp_path / "elsewhere/x.mp4")
    (tmp_path / "root/self").symlink_to(".")
    (tmp_path / "root/inner/up").symlink_to("..")
    (tmp_path / "root/again").symlink_to("inner")
    (tmp_path / "root/beside").symlink_to("../elsewhere")
    (tmp_path / "elsewhere/back").symlink_to("../root/inner")
    assert FramesSource(tmp_path / "root").sequences("train") == ["beside", "inner", "v"]


@pytest.mark.parametrize(
    ("names", "indices"),
    [
        ([f"frame{i:04d}_w640.png" for i in range(12)], list(range(12))),
        ([f"img{i:03d}_2023-04-05.png" for i in range(12)], list(range(12))),
        ([f"{1305031102 + (i + 8) // 10}.{(i + 8) % 10}75304.png" for i in range(12)], list(range(12))),
        ([f"{100 + i // 10}_{i % 10 * 100000000}.png" for i in range(12)], list(range(12))),
        ([f"5\u00b2{i}.png" for i in range(12)], list(range(12))),
        ([f"f{i}.png" for i in (8, 9, 10, 12)], [8, 9, 10, 12]),
    ],
    ids=["width", "date", "TUM", "ROS", "superscript", "numbers"],
)
def test_images_come_in_natural_order_with_a_number_that_agrees(tmp_path, names, indices):
    write_images(tmp_path / "s", names)
    frames = list(FramesSource(tmp_path / "s").read("s"))
    assert [shown_number(frame.frame) for frame in frames] == list(range(len(names)))
    assert [frame.frame_index for frame in frames] == indices


@pytest.mark.parametrize("inner", ["color", "rgb", "images", "frames", "Image"])
def test_a_folder_of_colour_has_its_depth_and_camera_beside(tmp_path, inner):
    names = [f"{i}.png" for i in range(11)]
    write_images(tmp_path / "scan" / inner, names)
    write_depths(tmp_path / "scan" / "depth", names)
    (tmp_path / "scan" / "intrinsics.txt").write_text("70 0 30.5\n0 71 22.5\n0 0 1\n")
    source = FramesSource(tmp_path / "scan")
    assert source.sequences("train") == ["scan"]
    info = source.describe("scan")
    assert (info.frames, info.has_depth, info.has_intrinsics, info.notes) == (11, True, True, ())
    frames = list(source.read("scan"))
    assert [int(frame.depth_mm[0, 0]) for frame in frames] == list(range(5000, 5011))
    np.testing.assert_allclose(frames[0].intrinsics, [70, 71, 30.5, 22.5])


def test_depth_belongs_to_the_image_of_the_same_name(tmp_path):
    names = [f"frame{i:04d}_w640.png" for i in range(6)]
    write_images(tmp_path / "s" / "frames", names)
    write_depths(tmp_path / "s" / "depth", names)
    for name in names[:2]:
        (tmp_path / "s" / "depth" / name).unlink()
    stream = FramesSource(tmp_path / "s").read("s", on_bad_frame="skip")
    assert [int(frame.depth_mm[0, 0]) for frame in stream] == [5002, 5003, 5004, 5005]


def test_every_video_of_every_folder_is_a_sequence(tmp_path):
    clip(tmp_path / "a.mp4")
    clip(tmp_path / "a.mkv", 4)
    clip(tmp_path / "patient" / "one.mp4", 3)
    clip(tmp_path / "patient" / "two.ts", 6)
    clip(tmp_path / "patient" / "later" / "x.mp4", 2)
    clip(tmp_path / "b" / "only.avi", 7)
    source = FramesSource(tmp_path)
    found = {name: source.describe(name).frames for name in source.sequences("train")}
    assert found == {"a.mp4": 5, "a.mkv": 4, "patient/one": 3, "patient/two": 6, "patient/later": 2, "b": 7}
    assert numbers(source, "patient/two") == list(range(6))


@pytest.mark.parametrize("name", ["x.m2ts", "x.mts", "x.vob", "x.asf", "x.rec", "x"])
def test_a_video_counts_by_what_it_is(tmp_path, name):
    write_video(tmp_path / "x.mpg", map(numbered_picture, range(5)), codec="mpeg2video").rename(tmp_path / name)
    assert numbers(FramesSource(tmp_path), "x") == list(range(5))


def test_what_is_left_out_is_named(tmp_path):
    clip(tmp_path / "a.mp4")
    clip(tmp_path / ".b.mp4")
    (tmp_path / "c.heic").write_bytes(b"heic")
    write_images(tmp_path / "seq", ["0.png", "1.png"])
    write_images(tmp_path / "seq" / "more", ["0.png"])
    clip(tmp_path / "seq" / "d.mp4")
    write_depths(tmp_path / "depth", ["0.png"])
    source = FramesSource(tmp_path)
    assert sorted(source.sequences("train")) == ["a", "seq"]
    said = notes(source)
    for named in (".b.mp4 (hidden)", "c.heic", "d.mp4, more (its folder is read", "depth (belongs to one"):
        assert named in said
    (tmp_path / "none").mkdir()
    clip(tmp_path / "none" / ".hidden.mp4")
    with pytest.raises(UserError, match=r"holds no images.*\.hidden\.mp4 \(hidden\)"):
        FramesSource(tmp_path / "none")


def test_poses_fit_the_frames_that_are_there_and_no_estimate(tmp_path):
    path = tmp_path / "own.mpg"
    options = {"g": "12", "bf": "2"}
    write_video(path, map(numbered_picture, range(50)), codec="mpeg2video", format_name="vob", options=options)
    (tmp_path / "poses.txt").write_text("".join(f"1 0 0 {i / 10} 0 1 0 0 0 0 1 0\n" for i in range(50)))
    source = FramesSource(tmp_path)
    frames = list(source.read("own"))
    assert len(frames) == source.describe("own").frames == 50
    np.testing.assert_allclose([frame.cam_from_world[0, 3] for frame in frames], -np.arange(50) / 10)


def test_an_announced_number_of_frames_takes_no_room(tmp_path):
    chunks = [jpeg_bytes(numbered_picture(i)) for i in range(9)]
    path = mjpeg_avi(tmp_path / "piped.avi", chunks, (64, 80), announced=1 << 30, closed=False)
    source = FramesSource(path)
    assert source.describe("piped").frames == 9
    assert numbers(source, "piped") == list(range(9))


def test_stacks_of_images_are_sequences(tmp_path):
    first, *others = (Image.fromarray(numbered_picture(i)) for i in range(7))
    for name in ("a.tif", "b.png"):
        first.save(tmp_path / name, save_all=True, append_images=others)
    source = FramesSource(tmp_path)
    assert sorted(source.sequences("train")) == ["a", "b"]
    assert numbers(source, "a") == numbers(source, "b") == list(range(7))
    assert numbers(FramesSource(tmp_path / "a.tif"), "a") == list(range(7))


def test_the_guessed_camera_has_the_shape_of_the_pixels(tmp_path):
    path = write_video(tmp_path / "wide.mp4", map(numbered_picture, range(3)), pixel_aspect=Fraction(64, 45))
    frame = next(FramesSource(path).read("wide"))
    fx, fy = frame.intrinsics[:2]
    assert fx / fy == pytest.approx(45 / 64)
    assert fy == pytest.approx(0.82 * 80 * 64 / 45)


def test_a_track_can_be_named_and_fields_kept(tmp_path):
    path = clip(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="--track 3"):
        FramesSource(path, track=3).describe("a")
    assert numbers(FramesSource(path, track=0, deinterlace="on"), "a") == list(range(5))


def test_results_of_a_run_beside_recordings_are_no_sequences(tmp_path):
    clip(tmp_path / "cases/a.mp4")
    clip(tmp_path / "cases/b.mp4")
    with mp4_writer(
        tmp_path / "cases/b_vis.mp4", Fraction(25)
    ) as write:  # as `stream` leaves it, without a description
        write(numbered_picture(0))
    for folder in ("cases", "cases/out"):
        clip(tmp_path / folder / "a_sbs.mp4")
        write_images(tmp_path / folder / "a_depths_png", ["frame_00000.png"])
        (tmp_path / folder / "a_meta.json").write_text('{"files": {"sbs": "a_sbs.mp4", "png16": "a_depths_png"}}')
    source = FramesSource(tmp_path / "cases")
    assert source.sequences("train") == ["a", "b"]
    said = notes(source)
    assert "a_sbs.mp4" in said
    assert "b_vis.mp4" in said
    assert "out (results of an earlier run)" in said


def test_recordings_beside_results_are_sequences(tmp_path):
    write_images(tmp_path / "cases/a/frames", [f"{i}.png" for i in range(3)])
    (tmp_path / "cases/a/frames_meta.json").write_text('{"files": {"vis": "frames_vis.mp4"}}')
    clip(tmp_path / "cases/a/frames_vis.mp4")
    assert FramesSource(tmp_path / "cases").sequences("train") == ["a"]


def test_a_recording_has_the_frames_that_can_be_read_and_says_where_its_header_differs(tmp_path):
    pictures = [jpeg_bytes(numbered_picture(number)) for number in range(6)]
    mjpeg_avi(tmp_path / "a.avi", [*pictures[:2], b"", *pictures[2:]], (64, 80))
    source = FramesSource(tmp_path / "a.avi")
    assert source.describe("a").frames == len(numbers(source, "a")) == 6
    assert "its header announces 7 frames, 6 can be shown" in notes(source)
    (report,) = verify_source(source, ["train"])
    assert report.frames == 6
    assert any("announces 7 frames" in note for note in report.notes)
