"""Frames of two fields become whole pictures, where the file marks them as such."""

import av
import numpy as np
import pytest

from endodav_jax.video.deinterlace import Deinterlacer
from endodav_jax.video.frames import Reading, ReadingStopped
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import moving_picture, write_video

HEIGHT, WIDTH, COUNT = 96, 128, 12


def at(time: float) -> np.ndarray:
    """A bright disc that moves fast to the right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = (x - 30 - 5 * time) ** 2 + (y - 48) ** 2 < 20**2
    return np.where(inside[..., None], 220, 40).astype(np.uint8).repeat(3, axis=2)


def write_fields(path, codec="mpeg2video", **how):
    """Writes frames whose even lines are seen half a frame before their odd ones, marked as interlaced."""
    with av.open(str(path), "w", **how) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.options = {"flags": "+ildct+ilme", "q": "2", "b": "4000000"}
        if codec == "libx264":
            stream.options = {"crf": "12", "x264-params": "tff=1"}
        for i in range(COUNT):
            picture = at(i)
            picture[1::2] = at(i + 0.5)[1::2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def combing(rgb: np.ndarray) -> float:
    """How much every line differs from its two neighbours, which a comb does and a scene does not."""
    grey = rgb.astype(float).mean(axis=2)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.ts", "mpeg2video"), ("a.mp4", "libx264")])
def test_fields_are_made_into_whole_pictures_and_it_is_said(tmp_path, name, codec):
    path = write_fields(tmp_path / name, codec)
    combed = list(VideoFile(path, Reading(deinterlace="off")))
    video = VideoFile(path)
    whole = list(video)
    assert len(whole) == len(combed) == COUNT
    assert [frame.time for frame in whole] == [frame.time for frame in combed]
    assert all(combing(a.rgb) < 0.5 * combing(b.rgb) for a, b in zip(whole, combed, strict=True))
    errors = [np.abs(frame.rgb.astype(float) - at(i)).mean() for i, frame in enumerate(whole)]
    assert max(errors) < 6
    assert video.about["deinterlaced"]
    assert any("interlaced" in note for note in video.notes)
    off = VideoFile(path, Reading(deinterlace="off"))
    assert not off.about["deinterlaced"]
    assert not off.notes


def test_other_video_passes_untouched_unless_all_is_to_be_deinterlaced(tmp_path):
    path = write_video(tmp_path / "a.mp4", (moving_picture(i, HEIGHT, WIDTH) for i in range(6)))
    plain = [frame.rgb for frame in VideoFile(path, Reading(deinterlace="off"))]
    auto = VideoFile(path)
    np.testing.assert_array_equal([frame.rgb for frame in auto], plain)
    assert not auto.about["deinterlaced"]
    on = VideoFile(path, Reading(deinterlace="on"))
    changed = [frame.rgb for frame in on]
    assert len(changed) == 6
    assert (np.array(changed) != plain).any()
    assert np.abs(np.array(changed).astype(int) - plain).mean() < 3
    assert on.about["deinterlaced"]


def test_damage_loses_no_frame_that_waits_in_the_filter(tmp_path):
    path = write_fields(tmp_path / "a.ts")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 188 * 8 // 10 * 188 + 50])
    shown = []
    with pytest.raises(ReadingStopped, match=r"reading stopped after (\d+)") as stopped:
        for frame in VideoFile(path):
            shown.append(frame.rgb)
    assert f"after {len(shown)} of" in str(stopped.value)
    off = []
    with pytest.raises(ReadingStopped, match="reading stopped"):
        for frame in VideoFile(path, Reading(deinterlace="off")):
            off.append(frame.rgb)
    assert len(shown) == len(off) > 2


def test_each_frame_keeps_the_colours_that_it_is_marked_with():
    kinds = [(1, 1)] * 3 + [(5, 2)] * 3 + [(1, 2)] * 2  # matrix (BT.709 or BT.601) and range (narrow or full)
    frames = []
    for colours in kinds:
        frame = av.VideoFrame.from_ndarray(at(0), format="rgb24").reformat(format="yuv420p")
        frame.colorspace, frame.color_range = colours
        frames.append(frame)
    filtering = Deinterlacer(frames[0], every=True)
    whole = [ready for frame in frames for ready in filtering.push(frame)] + list(filtering.flush())
    assert [(frame.colorspace, frame.color_range) for frame in whole] == kinds
