"""Which of a file's streams is the video."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from endodav_jax.errors import UserError
from endodav_jax.video.frames import Reading
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import jpeg_bytes, moving_picture, numbered_picture, shown_number, write_video

RED = np.full((120, 160, 3), (255, 0, 0), np.uint8)


def add_cover(path: Path) -> Path:
    """Adds a cover picture to an MP4 as players do, ahead of the video's track; FFmpeg shows it as stream 0."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + name + content

    data = path.read_bytes()
    begin = data.index(b"moov") - 4
    movie = data[begin:]
    header = struct.unpack(">I", movie[8:12])[0]
    assert begin + struct.unpack(">I", movie[:4])[0] == len(data)
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0) + jpeg_bytes(RED)))
    meta = box(b"meta", bytes(4) + box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)) + box(b"ilst", cover))
    path.write_bytes(data[:begin] + box(b"moov", movie[8 : 8 + header] + box(b"udta", meta) + movie[8 + header :]))
    return path


def write_tracks(path: Path, tracks, *, default: int | None = None, sound: bool = False) -> Path:
    """Writes several tracks of (codec, pictures) side by side."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (codec, pictures) in enumerate(tracks):
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        if sound:
            voice = container.add_stream("aac", rate=44100, layout="mono")
        for stream, (_, pictures) in zip(streams, tracks, strict=True):
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        if sound:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux([*voice.encode(frame), *voice.encode(None)])
    return path


def numbers(video) -> list[int]:
    return [shown_number(frame.rgb) for frame in video]


def test_a_cover_picture_is_not_the_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(numbered_picture, range(12)), faststart=False)
    video = VideoFile(add_cover(path))
    assert (video.size, video.count, video.fps, video.notes) == ((64, 80), 12, 25, [])
    assert numbers(video) == list(range(12))
    with pytest.raises(UserError, match=r"--track 2: .*a\.mp4 has 2 video tracks: 0 \(160x120 mjpeg, a picture\), 1"):
        VideoFile(path, Reading(track=2))
    (picture,) = VideoFile(path, Reading(track=0))
    assert picture.rgb.shape == (120, 160, 3)


@pytest.mark.parametrize("default", [None, 1])
def test_a_picture_that_is_not_marked_as_one_is_none_either(tmp_path, default):
    tracks = [("mjpeg", [RED]), ("mpeg4", [numbered_picture(i) for i in range(12)])]
    assert numbers(VideoFile(write_tracks(tmp_path / "a.mkv", tracks, default=default))) == list(range(12))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.ts"])
def test_of_two_videos_it_is_the_largest_which_is_said(tmp_path, name):
    small = [moving_picture(i, 32, 40) for i in range(12)]
    large = [numbered_picture(i) for i in range(12)]
    path = write_tracks(tmp_path / name, [("mpeg4", small), ("mpeg4", large)], sound=True)
    video = VideoFile(path)
    assert numbers(video) == list(range(12))
    assert "has 2 video tracks: 0 (40x32 mpeg4), 1 (80x64 mpeg4); reading 1, --track N reads another" in video.notes
    other = VideoFile(path, Reading(track=0))
    assert (other.size, other.notes) == ((32, 40), [])
    assert other.about["track"] == 0


def test_the_default_of_two_videos_counts_before_the_largest(tmp_path):
    tracks = [("mpeg4", [moving_picture(i, 96, 128) for i in range(12)]), ("mpeg4", [numbered_picture(0)] * 12)]
    video = VideoFile(write_tracks(tmp_path / "a.mkv", tracks, default=1))
    assert video.size == (64, 80)
    assert "reading 1" in video.notes[0]


def test_sound_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=44100, layout="mono")
        for k in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * k
            container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    with pytest.raises(UserError, match="only a cover picture"):
        VideoFile(add_cover(path))


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "10:32:05.mp4"
    write_video(Path(name), map(numbered_picture, range(3)))
    for given in (name, f"./{name}", tmp_path / name):
        assert len(list(VideoFile(given))) == 3
