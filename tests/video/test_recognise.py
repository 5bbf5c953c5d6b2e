"""What a folder holds is read, or named as left out."""

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.reader import open_source
from endodav_jax.video.recognise import contents, holds_only_results, is_written_by_a_command, kind_of
from tests.media_fixtures import numbered_picture, shown_number, write_video


def write_images(folder, numbers, name="{:03d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(numbered_picture(number)).save(folder / name.format(number))


def numbers(source) -> list[int]:
    return [shown_number(frame.rgb) for frame in source]


@pytest.mark.parametrize(
    "name", ["a.m2ts", "a.MTS", "a.vob", "a.asf", "a.trp", "a.m2t", "a.xyz", "noSuffix", "clip.rec", "a.mp4.part"]
)
def test_a_video_is_known_by_its_suffix_or_by_its_content(tmp_path, name):
    path = write_video(tmp_path / "clip.ts", map(numbered_picture, range(5))).rename(tmp_path / name)
    assert kind_of(path) == "video"
    assert numbers(open_source(str(tmp_path))) == list(range(5))


def test_what_is_no_recording_is_none(tmp_path):
    for name, content in {
        "notes": b"text " * 50, "a.dat": bytes(500), "b.csv": b"1,2\n", "c.nfo": b"text " * 50, "d.bak": b"\x89PNG",
        "e.log": b"x", "playlist.lst": b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n" * 9,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) is None, name
    with pytest.raises(UserError, match="holds no images"):
        open_source(str(tmp_path))


def test_images_are_taken_and_all_else_that_may_be_meant_is_named(tmp_path):
    folder = tmp_path / "case"
    write_images(folder, range(4))
    write_images(folder / "more", range(2))
    write_images(folder / "depth", range(4))
    write_images(folder, [9], ".{:03d}.png")
    write_video(folder / "clip.mp4", map(numbered_picture, range(3)))
    (folder / "photo.heic").write_bytes(b"heic")
    (folder / "readme.txt").write_text("words")
    Image.fromarray(numbered_picture(0)).save(folder / "mask.png")
    source = open_source(str(folder))
    assert numbers(source) == [0, 1, 2, 3]
    (note,) = source.notes
    for named in (".009.png (hidden)", "photo.heic (of a format", "clip.mp4 (its folder is read as images)", "more (a"):
        assert named in note
    assert "depth" not in note
    assert "readme" not in note
    assert "mask" not in note


@pytest.mark.parametrize("inner", ["frames", "images", "color", "rgb"])
def test_frames_may_lie_in_a_folder_inside(tmp_path, inner):
    write_images(tmp_path / "case" / inner, range(3))
    write_images(tmp_path / "case" / "depth", range(3))
    assert numbers(open_source(str(tmp_path / "case"))) == [0, 1, 2]


def test_several_videos_in_a_folder_are_a_question(tmp_path):
    for name in ("a.mp4", "a.mkv", ".b.mp4"):
        write_video(tmp_path / name, map(numbered_picture, range(3)))
    with pytest.raises(UserError, match=r"holds 2 recordings \(a.mkv, a.mp4\); name one of them"):
        open_source(str(tmp_path))
    (tmp_path / "a.mkv").unlink()
    source = open_source(str(tmp_path))
    assert numbers(source) == [0, 1, 2]
    assert source.stem == "a"
    assert ".b.mp4 (hidden)" in source.notes[0]


def test_contents_are_in_natural_order(tmp_path):
    for name in ("10.png", "9.png"):
        Image.fromarray(numbered_picture(0)).save(tmp_path / name)
    for name in ("c10", "c9"):
        (tmp_path / name).mkdir()
    found = contents(tmp_path)
    assert [path.name for path in found.images] == ["9.png", "10.png"]
    assert [path.name for path in found.folders] == ["c9", "c10"]


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.mp4: not a video but an empty file"):
        open_source(str(tmp_path / "x.mp4"))


@pytest.mark.parametrize("name", ["x.npy", "x.NPZ", "x.mat"])
def test_arrays_are_said_to_be_no_video(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        np.save(file, np.zeros((4, 48, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"not a video but a file of arrays; save its frames as images") as error:
        open_source(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_training_run_is_no_recording_and_no_depth_to_view(tmp_path):
    write_images(tmp_path / "run" / "pictures", range(2))
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    assert holds_only_results(tmp_path / "run")
    assert not is_written_by_a_command(tmp_path / "run")
