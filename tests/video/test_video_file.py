"""Decoding: what comes out, the turns that metadata ask for, and damage."""

from fractions import Fraction

import av
import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.video import upright, video_file
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import cut_short, damage, moving_picture, noisy_picture, turn, write_video

TOLERANCE = 12  # of 255: what 4:2:0 and quantisation change in a smooth picture


def read_until_stopped(video: VideoFile) -> tuple[int, str]:
    """Returns how many frames came and the message with which reading stopped."""
    count = 0
    with pytest.raises(ReadingStopped) as stopped:
        for _ in video:
            count += 1
    return count, str(stopped.value)


def test_frames_come_in_order_with_their_times_and_colours(tmp_path):
    pictures = [moving_picture(i) for i in range(12)]
    video = VideoFile(write_video(tmp_path / "a.mp4", pictures, rate=Fraction(30000, 1001)))
    frames = list(video)
    assert (video.size, video.count, video.fps) == ((48, 64), 12, Fraction(30000, 1001))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) * 1001 / 30000, atol=1e-3)
    for frame, picture in zip(frames, pictures, strict=True):
        assert frame.rgb.dtype == np.uint8
        assert np.abs(frame.rgb.astype(int) - picture).max() <= TOLERANCE


def test_a_video_can_be_read_again_and_again(tmp_path):
    video = VideoFile(write_video(tmp_path / "a.mp4", map(moving_picture, range(5))))
    first, second = ([frame.rgb for frame in video] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("matrix", "turned_back"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    ],
    ids=["90", "180", "270", "mirrored", "upside down", "transposed"],
)
def test_rotation_metadata_are_applied(tmp_path, matrix, turned_back):
    plain = VideoFile(write_video(tmp_path / "plain.mp4", map(moving_picture, range(3))))
    turned = write_video(tmp_path / "turned.mp4", map(moving_picture, range(3)))
    turn(turned, *matrix)
    video = VideoFile(turned)
    for frame, before in zip(video, plain, strict=True):
        np.testing.assert_array_equal(frame.rgb, turned_back(before.rgb))
    assert video.size == turned_back(moving_picture(0)).shape[:2]


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_the_turn_is_known_without_the_side_data_too(tmp_path, matrix):
    path = write_video(tmp_path / "a.mp4", [moving_picture(0)])
    turn(path, *matrix)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert upright._turn_by_angle(frame) == upright._display_turn(frame)


def test_grey_video_gives_three_equal_channels(tmp_path):
    path = write_video(tmp_path / "grey.mkv", map(moving_picture, range(3)), codec="ffv1", pixel_format="gray")
    for frame in VideoFile(path):
        assert frame.rgb.shape == (48, 64, 3)
        np.testing.assert_array_equal(frame.rgb[..., 0], frame.rgb[..., 2])


def test_alpha_is_laid_over_black(tmp_path):
    pixels = np.full((48, 64, 4), 200, np.uint8)
    pixels[:24, :, 3] = 0
    pixels[24:, :, 3] = 255
    path = write_video(tmp_path / "alpha.mkv", [pixels] * 2, codec="ffv1", pixel_format="bgra")
    for frame in VideoFile(path):
        assert (frame.rgb[:24] == 0).all()
        assert (frame.rgb[24:] == 200).all()


def test_ten_bit_video_is_read(tmp_path):
    path = write_video(tmp_path / "ten.mkv", map(moving_picture, range(3)), codec="ffv1", pixel_format="yuv420p10le")
    for index, frame in enumerate(VideoFile(path)):
        assert np.abs(frame.rgb.astype(int) - moving_picture(index)).max() <= TOLERANCE


def test_odd_sizes_and_a_single_frame(tmp_path):
    picture = moving_picture(0, 47, 61)
    video = VideoFile(write_video(tmp_path / "odd.mkv", [picture], codec="ffv1", pixel_format="bgr0"))
    (frame,) = video
    np.testing.assert_array_equal(frame.rgb, picture)


def test_variable_frame_rate_keeps_the_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.0]
    video = VideoFile(write_video(tmp_path / "v.mp4", map(moving_picture, range(6)), times=times))
    np.testing.assert_allclose([frame.time for frame in video], times, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "yuv420p"),
    ],
)
def test_damage_inside_a_frame_ends_the_reading_and_keeps_what_came_before(tmp_path, name, codec, pixel_format):
    pictures = (moving_picture(i, 240, 320) for i in range(40))
    path = write_video(tmp_path / name, pictures, codec=codec, pixel_format=pixel_format)
    sound = [frame.rgb for frame in VideoFile(path)]
    damage(path, packet=26)
    video = VideoFile(path)
    good = []
    with pytest.raises(ReadingStopped, match=r"a\.\w+: reading stopped after \d+ of about 40 frames"):
        for frame in video:
            good.append(frame.rgb)
    assert 23 <= len(good) <= 26  # encoders store frames in groups of up to four
    np.testing.assert_array_equal(good, sound[: len(good)])


@pytest.mark.parametrize(("codec", "packet"), [("libx264", 26), ("libx265", 27)])
def test_a_hole_of_zeros_ends_the_reading(tmp_path, codec, packet):
    """Decoders turn zeros into a picture without an error."""
    options = {"crf": "10", "x265-params": "log-level=none"} if codec == "libx265" else {"crf": "4"}
    path = write_video(tmp_path / "a.mp4", map(noisy_picture, range(40)), codec=codec, options=options)
    sound = [frame.rgb for frame in VideoFile(path)]
    damage(path, packet, length=300, zeros=True)
    good = []
    with pytest.raises(ReadingStopped, match="damaged"):
        for frame in VideoFile(path):
            good.append(frame.rgb)
    assert packet - 4 <= len(good) <= packet
    np.testing.assert_array_equal(good, sound[: len(good)])


@pytest.mark.parametrize("packet", [7, 15, 26])
def test_what_is_lost_from_a_transport_stream_of_hevc_ends_the_reading(tmp_path, packet):
    options = {"x265-params": "log-level=none:keyint=10:open-gop=0", "crf": "18"}
    pictures = (noisy_picture(i, 96, 128) for i in range(40))
    path = write_video(tmp_path / "a.ts", pictures, codec="libx265", options=options)
    sound = [frame.rgb for frame in VideoFile(path)]
    with av.open(str(path)) as container:
        start, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][packet]
    data = path.read_bytes()
    middle = start + size // 2 // 188 * 188
    path.write_bytes(data[:middle] + data[middle + 4 * 188 :])
    good = []
    with pytest.raises(ReadingStopped, match=r"Invalid data|damaged"):
        for frame in VideoFile(path):
            good.append(frame.rgb)
    assert packet - 5 <= len(good) <= packet
    np.testing.assert_array_equal(good, sound[: len(good)])


def test_hevc_with_broken_information_beside_its_pictures_is_read(tmp_path):
    path = tmp_path / "a.hevc"
    options = {"x265-params": "log-level=none"}
    write_video(path, map(moving_picture, range(8)), codec="libx265", options=options, format_name="hevc")
    data = bytearray(path.read_bytes())
    place = data.index(b"\x00\x00\x01\x4e\x01\x05")  # what the encoder says of itself
    data[place + 6 : place + 8] = b"\xfa\xfa"  # longer than the unit that holds it
    path.write_bytes(data)
    video = VideoFile(path)
    assert len(list(video)) == 8
    assert any("breaks the rules" in note for note in video.notes)


def write_padded(path, pictures):
    """Writes AVC-Intra, in which zeros fill up parameter sets and the last slice of each frame."""
    return write_video(path, pictures, pixel_format="yuv422p10le", options={"avcintra-class": "100"})


@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_zeros_that_fill_up_a_frame_are_no_hole(tmp_path, name):
    path = write_padded(tmp_path / name, (moving_picture(i, 720, 1280) for i in range(3)))
    assert len(list(VideoFile(path))) == 3


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_hole_shows_where_zeros_fill_up_frames_too(tmp_path, share):
    path = write_padded(tmp_path / "a.mov", (noisy_picture(i, 720, 1280) for i in range(3)))
    with av.open(str(path)) as container:
        start, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][2]
    data = bytearray(path.read_bytes())
    place = start + int(size * share)
    data[place : place + 300] = bytes(300)
    path.write_bytes(data)
    assert read_until_stopped(VideoFile(path))[0] == 2


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9"])
def test_an_error_in_the_last_packet_is_not_lost(tmp_path, codec):
    """PyAV drops an error that comes together with frames, as with several frames in flight at the end of a file."""
    options = {"x265-params": "log-level=none"} if codec == "libx265" else None
    path = write_video(tmp_path / "a.mp4", map(moving_picture, range(20)), codec=codec, options=options)
    sound = [frame.rgb for frame in VideoFile(path)]
    with av.open(str(path)) as container:
        start = [packet.pos for packet in container.demux(video=0) if packet.size][-1]
    data = bytearray(path.read_bytes())
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    good = []
    with pytest.raises(ReadingStopped, match="Invalid data"):
        for frame in VideoFile(path):
            good.append(frame.rgb)
    assert 14 <= len(good) <= 19
    np.testing.assert_array_equal(good, sound[: len(good)])


def test_slices_of_hevc_decoded_side_by_side_hide_no_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.mkv"
    options = {"x265-params": "log-level=none:slices=3", "crf": "18"}
    # In smaller pictures, this encoder's slices are broken.
    write_video(path, (noisy_picture(i, 192, 256) for i in range(8)), codec="libx265", options=options)
    assert len(list(VideoFile(path))) == 8
    data = path.read_bytes()

    def read() -> tuple[list[np.ndarray], str]:
        frames: list[np.ndarray] = []
        try:
            frames.extend(frame.rgb for frame in VideoFile(path))
        except (ReadingStopped, UserError) as error:
            return frames, str(error)
        return frames, ""

    def decode_in_one_thread(stream, strict=True):
        prepare(stream, strict)
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1

    prepare = video_file.prepare_decoder
    rng = np.random.default_rng(3)
    for place in rng.integers(len(data) // 10, len(data) - 100, 20):
        noise = b"" if place % 2 else rng.bytes(100)
        path.write_bytes(data[:place] + noise + data[place + 100 :])
        side_by_side = read()
        with monkeypatch.context() as patch:
            patch.setattr(video_file, "prepare_decoder", decode_in_one_thread)
            one_by_one = read()
        assert side_by_side[1] == one_by_one[1]
        np.testing.assert_array_equal(side_by_side[0], one_by_one[0])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_file_cut_short_says_so_after_its_good_frames(tmp_path, suffix):
    path = write_video(tmp_path / f"a{suffix}", map(noisy_picture, range(60)))
    assert len(list(VideoFile(path))) == 60
    cut_short(path, 0.6)
    count, message = read_until_stopped(VideoFile(path))
    assert 30 <= count <= 37
    assert str(path) in message
    assert "\n" not in message


def test_the_last_frame_cut_off_loses_only_the_last(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(noisy_picture, range(20)), options={"crf": "4", "bf": "0"})
    path.write_bytes(path.read_bytes()[:-40])
    count, _ = read_until_stopped(VideoFile(path))
    assert count == 19


def test_the_size_may_not_change_inside_a_video(tmp_path):
    paths = [
        write_video(tmp_path / f"{h}.h264", (noisy_picture(i, h, 64) for i in range(10)), options={"bf": "0"})
        for h in (48, 96)
    ]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    count, message = read_until_stopped(VideoFile(joined))
    assert 8 <= count <= 10  # the decoder throws away what it still held of the first size
    assert f"the size changes from 64x48 to 64x96 after {count} frames" in message


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.mp4: no such file"):
        VideoFile(tmp_path / "none.mp4")


@pytest.mark.parametrize("content", [b"", b"hello, not a video", bytes(4096)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mp4: not a video"):
        VideoFile(path)


@pytest.mark.parametrize("name", ["kitti.txt", "notes.nfo"])
def test_text_that_ffmpeg_would_draw_is_refused(tmp_path, name):
    (tmp_path / name).write_text("1.0 0.0 0.0 0.5 0.0 1.0 0.0 0.0 0.0 0.0 1.0 2.0\n" * 200)
    with pytest.raises(UserError, match="is text, not a video"):
        VideoFile(tmp_path / name)


def test_an_mp4_without_its_end_cannot_be_read_and_says_so(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(noisy_picture, range(20)), faststart=False)
    cut_short(path, 0.7)
    with pytest.raises(UserError, match="its end is missing"):
        VideoFile(path)


def test_a_video_without_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(noisy_picture, range(3)), faststart=True)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(UserError, match="not one frame"):
        VideoFile(path)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UserError, match="no video stream"):
        VideoFile(path)


def test_samples_are_spread_over_the_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", map(moving_picture, range(60)), options={"crf": "4", "g": "5"}, rate=10)
    means = [frame.mean() for frame in VideoFile(path).samples(6)]
    assert len(means) == 6
    assert means == sorted(means)
    assert means[0] < moving_picture(15).mean()
    assert means[-1] > moving_picture(45).mean()


def test_a_title_in_another_encoding_does_not_keep_a_video_from_being_read(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Praeparat"
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for picture in [av.VideoFrame.from_ndarray(moving_picture(0), "rgb24"), None]:
            container.mux(stream.encode(picture))
    path.write_bytes(path.read_bytes().replace(b"Praeparat", "Präparat ".encode("latin-1")))
    assert len(list(VideoFile(path))) == 1


def test_a_header_without_frames_is_said_to_be_that(tmp_path):
    video = write_video(tmp_path / "a.mkv", map(moving_picture, range(3)))
    data = video.read_bytes()
    (tmp_path / "noframes.mkv").write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(UserError, match=r"noframes\.mkv: contains no frames, at most a header; copy or export it anew"):
        VideoFile(tmp_path / "noframes.mkv")
