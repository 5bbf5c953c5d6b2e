"""What headers announce is a hint: frames are what can be decoded, and a file is cut short only on evidence."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import jpeg_bytes, mjpeg_avi, moving_picture, numbered_picture, shown_number, write_video

SIZE = (64, 80)
X264 = {"crf": "18", "g": "10", "bf": "2"}
# Every fourth frame is decoded before the three that precede it, and the middle one of those before the other two.
PYRAMID = {"crf": "18", "g": "30", "bf": "3", "b-adapt": "0", "b-pyramid": "normal"}
# name -> how it is written; every container that a file of an endoscope may have.
CONTAINERS = {
    "a.mp4": {"options": X264},
    "fragments.mp4": {"options": X264, "muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "a.mov": {"codec": "mpeg4"},
    "a.mkv": {"options": X264},
    "live.mkv": {"options": X264, "muxing": {"live": "1"}},
    "a.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "a.ts": {"options": X264},
    "a.m2ts": {"options": X264, "format_name": "mpegts", "muxing": {"mpegts_m2ts_mode": "1"}},
    "a.mpg": {"codec": "mpeg2video"},
    "a.vob": {"codec": "mpeg2video", "format_name": "vob"},
    "b.avi": {"options": PYRAMID},
    "b.mkv": {"options": PYRAMID},
    "b.wmv": {"options": PYRAMID, "format_name": "asf"},
    "b.mxf": {"options": PYRAMID},
    "a.wmv": {"codec": "wmv2", "format_name": "asf", "options": {"b": "4000000"}},
    "a.flv": {"options": X264},
    "a.mxf": {"codec": "mpeg2video"},
    "a.h264": {"options": X264},
    "a.m2v": {"codec": "mpeg2video", "format_name": "mpeg2video"},
    "a.mjpeg": {"codec": "mjpeg", "pixel_format": "yuvj420p", "format_name": "mjpeg"},
    "a.gif": {"codec": "gif", "pixel_format": "rgb8"},
    "a.y4m": {"codec": "rawvideo", "format_name": "yuv4mpegpipe"},
}
JOINABLE = ("a.ts", "a.m2ts", "a.mpg", "a.vob", "live.mkv", "a.h264", "a.m2v", "a.mjpeg", "a.avi")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every container with 30 numbered frames."""
    folder = tmp_path_factory.mktemp("containers")
    for name, how in CONTAINERS.items():
        write_video(folder / name, map(numbered_picture, range(30)), **how)
    return folder


def numbers(video) -> list[int]:
    return [shown_number(frame.rgb) for frame in video]


def packet_places(path) -> list[tuple[int | None, int]]:
    """Returns position and size of each packet in bytes; a program stream gives no position to most."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def inside_a_frame(path, share: float) -> int:
    """Returns a place near this share of a file, in the middle of a packet: a cut between two would show nothing.

    It is odd, and thus never between the packets of a transport stream either.
    """
    place = int(path.stat().st_size * share)
    places = packet_places(path)
    if all(start is not None for start, _ in places):
        start, size = max(known for known in places if known[0] <= place)
        place = start + size // 2
    return place | 1


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_whole_file_is_read_to_its_end(written, name):
    video = VideoFile(written / name)
    frames = list(video)
    assert [shown_number(frame.rgb) for frame in frames] == list(range(30))
    assert [frame.index for frame in frames] == list(range(30))
    np.testing.assert_allclose(np.diff([frame.time for frame in frames]), 0.04, atol=0.011)
    assert video.fps == 25
    assert not video.notes


@pytest.mark.parametrize("name", JOINABLE)
def test_joined_files_are_read_to_their_end_in_growing_time(written, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((written / name).read_bytes() * 3)
    video = VideoFile(path)
    frames = list(video)
    assert [shown_number(frame.rgb) for frame in frames] == [*range(30)] * 3
    assert (np.diff([frame.time for frame in frames]) > 0).all()
    assert 85 / 25 < frames[-1].time < 95 / 25
    restarts = [note for note in video.notes if "start again" in note]
    assert len(restarts) == (0 if name in ("a.h264", "a.m2v", "a.mjpeg", "a.avi") else 1)


@pytest.mark.parametrize("share", [0.5, 0.83])
# An .mov as written here cannot be opened without its end, and bare MPEG-2 without its last slices is whole.
@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in ("a.mov", "a.m2v")])
def test_a_file_cut_short_says_so_and_shows_whole_frames_alone(written, tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes((written / name).read_bytes()[: inside_a_frame(written / name, share)])
    shown = []
    with pytest.raises(ReadingStopped, match="reading stopped after"):
        for frame in VideoFile(path):
            shown.append(shown_number(frame.rgb))
    assert shown == list(range(len(shown)))
    assert 1 <= len(shown) < 30


def test_no_cut_shows_a_frame_that_the_decoder_made_up(written, tmp_path):
    """Decoders with several frames in flight hand some out before they know that these are damaged."""
    path = tmp_path / "a.h264"
    data = (written / path.name).read_bytes()
    whole = [frame.rgb for frame in VideoFile(written / path.name)]
    places = packet_places(written / path.name)
    assert len(places) == len(whole)
    for start, size in places[1:]:
        for share in (0.3, 0.5, 0.7, 0.9):
            path.write_bytes(data[: start + int(size * share)])
            shown = []
            with pytest.raises(ReadingStopped, match="reading stopped after"):
                for frame in VideoFile(path):
                    shown.append(frame.rgb)
            assert 1 <= len(shown) < len(whole)
            np.testing.assert_array_equal(shown, whole[: len(shown)])


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.wmv"])
def test_files_that_cannot_be_joined_so_lose_nothing_without_a_word(written, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((written / name).read_bytes() * 3)
    shown = []
    with pytest.raises(ReadingStopped, match=r"another recording is joined to it.*split it there"):
        for frame in VideoFile(path):
            shown.append(shown_number(frame.rgb))
    assert shown[:30] == list(range(30))


def test_frames_that_a_recorder_dropped_are_no_damage(tmp_path):
    chunks = [b"" if i % 7 == 3 else jpeg_bytes(numbered_picture(i)) for i in range(40)]
    video = VideoFile(mjpeg_avi(tmp_path / "a.avi", chunks, SIZE))
    frames = list(video)
    kept = [i for i in range(40) if i % 7 != 3]
    assert [shown_number(frame.rgb) for frame in frames] == kept
    np.testing.assert_allclose([frame.time for frame in frames], np.array(kept) / 25)
    assert any("gaps of about 6 frames in 6 places, the first after 3 frames" in note for note in video.notes)


def test_a_gap_in_an_even_stream_is_mentioned(tmp_path):
    kept = [*range(20), *range(24, 40)]
    times = [number / 25 for number in kept]
    path = write_video(tmp_path / "a.mkv", map(numbered_picture, kept), times=times, options=X264)
    video = VideoFile(path)
    assert numbers(video) == kept
    assert video.fps == 25
    assert "a gap of about 4 frames after 20 frames: frames were dropped, or the file is damaged" in video.notes


@pytest.mark.parametrize("announced", [0, 7, 1_000_000, 1 << 30, 0x7FFFFFFF])
def test_the_number_of_frames_in_an_avi_may_be_anything(tmp_path, announced):
    chunks = [jpeg_bytes(numbered_picture(i)) for i in range(20)]
    video = VideoFile(mjpeg_avi(tmp_path / "a.avi", chunks, SIZE, announced, closed=False))
    assert numbers(video) == list(range(20))
    assert video.count is None or video.count < 2000


def test_a_truncated_frame_inside_a_video_still_stops_the_reading(tmp_path):
    chunks = [jpeg_bytes(numbered_picture(i)) for i in range(20)]
    chunks[12] = chunks[12][: len(chunks[12]) // 2]
    shown = []
    with pytest.raises(ReadingStopped, match="after 12 of about 20"):
        for frame in VideoFile(mjpeg_avi(tmp_path / "a.avi", chunks, SIZE)):
            shown.append(shown_number(frame.rgb))
    assert shown == list(range(12))


def test_a_recording_that_starts_between_key_frames_is_shown_from_the_next_one_on(tmp_path):
    options = X264 | {"g": "25", "sc_threshold": "0"}
    path = write_video(tmp_path / "whole.ts", map(numbered_picture, range(100)), options=options)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 * 30 // 100 * 188 :])
    shown = numbers(VideoFile(path))
    assert shown == list(range(shown[0], 100))
    assert shown[0] in (50, 75)


@pytest.mark.parametrize("group", ["open-gop=1", "open-gop=0:radl=2"])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_hevc_that_starts_between_key_frames_or_goes_on_as_another_recording_is_no_damage(tmp_path, group, share):
    options = {"x265-params": f"log-level=none:keyint=10:bframes=4:{group}", "crf": "18"}
    path = write_video(tmp_path / "whole.ts", map(numbered_picture, range(40)), codec="libx265", options=options)
    data = path.read_bytes()
    path.write_bytes(data[int(len(data) // 188 * share) * 188 :] + data)
    shown = numbers(VideoFile(path))
    assert shown[0] in (10, 20)
    assert shown == [*range(shown[0], 40), *range(40)]


@pytest.mark.parametrize(("name", "audio"), [("a.wmv", "wmav2"), ("a.mkv", "aac"), ("a.mp4", "aac"), ("a.ts", "mp2")])
def test_sound_may_go_on_after_the_picture(tmp_path, name, audio):
    path = tmp_path / name
    with av.open(str(path), "w", format="asf" if name == "a.wmv" else None) as container:
        video = container.add_stream("wmv2" if name == "a.wmv" else "mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream(audio, rate=44100, layout="mono")
        sound.bit_rate = 32000
        for i in range(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered_picture(i), format="rgb24")))
        container.mux(video.encode(None))
        for k in range(200):
            sample = "s16" if audio == "mp2" else "fltp"
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1152), np.int16 if sample == "s16" else np.float32), format=sample, layout="mono"
            )
            silence.sample_rate, silence.pts = 44100, 1152 * k
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    assert numbers(VideoFile(path)) == list(range(30))


def test_an_edit_list_leaves_out_frames_without_damage(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(numbered_picture, range(30)), options=X264 | {"g": "1", "bf": "0"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 4
    _, entries, duration, start = struct.unpack_from(">IIIi", data, place)
    assert entries == 1
    with av.open(str(path)) as container:
        ticks = int(container.streams.video[0].time_base.denominator)
    # The movie's clock counts milliseconds, the track's has its own ticks.
    struct.pack_into(">Ii", data, place + 8, duration // 3, start + ticks * 10 // 25)
    path.write_bytes(data)
    shown = numbers(VideoFile(path))
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert 8 <= len(shown) <= 12


def test_a_rate_that_cannot_be_gives_way_to_the_guess(tmp_path):
    picture = numbered_picture(0, 576, 720)
    path = write_video(tmp_path / "tape.dv", [picture], codec="dvvideo", options={})
    assert VideoFile(path).fps == 25


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("name", ["a.mpg", "a.vob"])
def test_frames_of_a_program_stream_may_share_a_time(tmp_path, name, rate):
    """They do if they are small."""
    pictures = (moving_picture(i, 96, 128) for i in range(60))
    options = {"crf": "28", "g": "250", "bf": "3"}
    video = VideoFile(write_video(tmp_path / name, pictures, rate=rate, options=options))
    frames = list(video)
    assert video.fps == rate
    assert len(frames) == 60
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(60) / rate, atol=1.5 / rate)
    assert not video.notes


def test_two_frames_tell_their_rate(tmp_path):
    how = CONTAINERS["a.gif"]
    assert VideoFile(write_video(tmp_path / "a.gif", map(numbered_picture, range(2)), rate=5, **how)).fps == 5


def test_one_wild_time_does_not_make_the_rate_zero(tmp_path):
    times = [0.04 * k + (0.008 if k % 3 == 1 else 0) for k in range(20)]
    path = write_video(tmp_path / "a.flv", map(numbered_picture, range(20)), times=times, options=X264 | {"bf": "0"})
    data = bytearray(path.read_bytes())
    place, pictures = 13, []
    # Tags: kind, 3 bytes of length, 4 of time (the highest last), 3 of the stream's number, data, 4 of length.
    while place < len(data):
        if data[place] == 9:
            pictures.append(place)
        place += 11 + int.from_bytes(data[place + 1 : place + 4], "big") + 4
    data[pictures[8] + 7] = 0x70
    path.write_bytes(data)
    assert VideoFile(path).fps > 0


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_variable_rate_keeps_its_average(tmp_path, name):
    times = np.cumsum([0.04, 0.08, 0.2] * 12)
    video = VideoFile(write_video(tmp_path / name, map(numbered_picture, range(36)), times=times))
    assert video.fps == pytest.approx(36 / (times[-1] - times[0] + 0.04), rel=0.1)
    assert video.count == pytest.approx(36, abs=4)
    assert len(list(video)) == 36


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(16, 15), Fraction(8, 9)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pixels_may_be_other_than_square(tmp_path, name, aspect):
    path = write_video(tmp_path / name, map(numbered_picture, range(3)), pixel_aspect=aspect)
    assert VideoFile(path).pixel_aspect == aspect
