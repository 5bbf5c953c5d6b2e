"""`endodav stream`: frame in, depth out."""

import io
import os
import threading
import types

import numpy as np
import pytest
from PIL import Image

from endodav_jax import cli
from endodav_jax.depth_video import stream as job
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import FakeEstimator, damage, load_fake, luminance, moving_picture, write_video


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(job, "load_estimator", load_fake)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(12)))


def pipe(monkeypatch, data: bytes) -> None:
    """Makes `data` the standard input."""
    monkeypatch.setattr(job.sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_file_gives_a_video_and_depth_frame_by_frame(video, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["stream", str(video), "-o", str(out), "--save", "vis,npy", "--range", "0,1", "--grayscale"]) == 0
    assert "12 frames, latency" in capsys.readouterr().out
    shown = list(VideoFile(out / "clip_vis.mp4"))
    for i, frame in enumerate(VideoFile(video)):
        saved = np.load(out / "clip_depths_npy" / f"frame_{i:05d}.npy")
        np.testing.assert_allclose(saved, 1 / (1 / 150 + (10 - 1 / 150) * luminance(frame.rgb)), rtol=1e-5)
        assert np.abs(shown[i].rgb[..., 0] / 255 - luminance(frame.rgb)).mean() < 0.02
        assert shown[i].time == pytest.approx(frame.time, abs=1e-3)


def test_without_an_output_only_latency_is_told(video, tmp_path, capsys):
    assert cli.main(["stream", str(video), "--max-len", "5"]) == 0
    assert "5 frames, latency" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4"}


def test_a_pipe_may_hold_a_video(tmp_path, monkeypatch):
    pipe(monkeypatch, write_video(tmp_path / "a.mkv", map(moving_picture, range(9))).read_bytes())
    assert cli.main(["stream", "-", "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(list(VideoFile(tmp_path / "out" / "stdin_vis.mp4"))) == 9


def test_a_pipe_may_hold_raw_pixels(tmp_path, monkeypatch):
    pictures = [moving_picture(i, 40, 50) for i in range(4)]
    pipe(monkeypatch, b"".join(picture.tobytes() for picture in pictures) + b"part of a frame")
    out = tmp_path / "out"
    assert cli.main(["stream", "-", "--raw", "50x40", "-o", str(out), "--save", "npy", "--quiet"]) == 0
    assert len(list((out / "stdin_depths_npy").iterdir())) == 4


@pytest.mark.parametrize("kind", ["video", "pixels"])
def test_a_named_pipe_is_read_once(kind, tmp_path):
    os.mkfifo(tmp_path / "ff")
    pictures = [moving_picture(i, 40, 50) for i in range(9)]
    if kind == "video":
        data = write_video(tmp_path / "a.ts", pictures, format_name="mpegts").read_bytes()
    else:
        data = b"".join(picture.tobytes() for picture in pictures)
    writer = threading.Thread(target=(tmp_path / "ff").write_bytes, args=(data,), daemon=True)
    writer.start()
    arguments = ["stream", str(tmp_path / "ff"), "-o", str(tmp_path / "out"), "--quiet"]
    assert cli.main([*arguments, *(["--raw", "50x40"] if kind == "pixels" else [])]) == 0
    writer.join(10)
    assert len(list(VideoFile(tmp_path / "out" / "ff_vis.mp4"))) == 9


def test_the_path_of_standard_input_is_the_pipe(tmp_path, monkeypatch):
    pipe(monkeypatch, write_video(tmp_path / "a.mkv", map(moving_picture, range(9))).read_bytes())
    assert cli.main(["stream", "/dev/stdin", "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(list(VideoFile(tmp_path / "out" / "stdin_vis.mp4"))) == 9


def test_what_a_shell_puts_in_place_of_a_command_is_a_pipe(tmp_path):
    reading, writing = os.pipe()
    data = write_video(tmp_path / "a.ts", map(moving_picture, range(9)), format_name="mpegts").read_bytes()
    os.write(writing, data)
    os.close(writing)
    assert cli.main(["stream", f"/dev/fd/{reading}", "-o", str(tmp_path / "out"), "--quiet"]) == 0
    os.close(reading)
    assert len(list(VideoFile(tmp_path / "out" / "pipe_vis.mp4"))) == 9


def test_raw_pixels_of_what_is_no_pipe_are_refused(video, capsys):
    for source in (str(video), "0", "rtsp://192.0.2.1/a"):
        assert cli.main(["stream", source, "--raw", "128x96"]) == 2
        assert f"{source}: is no pipe, which bare pixels come from; leave out --raw" in capsys.readouterr().err


def test_an_empty_pipe_is_one_line(monkeypatch, capsys):
    pipe(monkeypatch, b"")
    assert cli.main(["stream", "-", "--raw", "50x40"]) == 2
    assert capsys.readouterr().err == (
        "endodav stream: standard input: gives no frames; check the device or what writes into the pipe\n"
    )


def test_a_camera_that_is_not_there_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("endodav_jax.video.live.sys.platform", "linux")
    assert cli.main(["stream", "7431"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("endodav stream: /dev/video7431: cannot be opened")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--range", "1"], "--range: '1' is not two numbers low,high"),
        (["--save", "exr"], "--save: 'exr' is not one of vis, npy"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(video, tmp_path, capsys, arguments, message):
    assert cli.main(["stream", str(video), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_source_is_not_the_current_folder(tmp_path, capsys):
    assert cli.main(["stream", "-o", str(tmp_path / "out"), "--quiet", ""]) == 2
    assert "source: is empty; name a file" in capsys.readouterr().err


def test_existing_outputs_are_refused(video, tmp_path, capsys):
    arguments = ["stream", str(video), "-o", str(tmp_path / "out"), "--quiet"]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 2
    assert "clip_vis.mp4: already exists; pass --overwrite" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


def test_interrupting_keeps_what_was_done(video, tmp_path, monkeypatch):
    class Interrupted(FakeEstimator):
        pushed = 0

        def push(self, frame):
            if self.pushed == 5:
                raise KeyboardInterrupt
            self.pushed += 1
            return super().push(frame)

    monkeypatch.setattr(job, "load_estimator", lambda *_: (Interrupted(), None))
    assert cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(list(VideoFile(tmp_path / "out" / "clip_vis.mp4"))) == 5


def test_damage_keeps_what_was_done_and_says_so(tmp_path, capsys):
    video = write_video(tmp_path / "d.mp4", (moving_picture(i, 240, 320) for i in range(40)))
    damage(video, packet=26)
    assert cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--quiet"]) == 1
    assert "frames before this are kept" in capsys.readouterr().err
    assert (tmp_path / "out" / "d_vis.mp4").exists()


def test_the_range_of_colours_only_widens(tmp_path):
    pictures = [np.full((32, 32, 3), level, np.uint8) for level in (50, 100, 200, 100)]
    video = write_video(tmp_path / "w.mkv", pictures, codec="ffv1", pixel_format="bgr0")
    cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--grayscale", "--quiet"])
    levels = [int(frame.rgb.mean()) for frame in VideoFile(tmp_path / "out" / "w_vis.mp4")]
    np.testing.assert_allclose(levels, [0, 255, 255, 85], atol=3)


def test_a_mask_blackens_the_outside_and_a_live_source_has_none_to_find(tmp_path, monkeypatch, capsys):
    pictures = [np.full((32, 32, 3), level, np.uint8) for level in (50, 200)]
    view = np.zeros((32, 32), bool)
    view[8:24, 8:24] = True
    for picture in pictures:
        picture[~view] = 255
    Image.fromarray(view).save(tmp_path / "view.png")
    video = write_video(tmp_path / "w.mkv", pictures, codec="ffv1", pixel_format="bgr0")
    arguments = ["-o", str(tmp_path / "out"), "--grayscale", "--quiet", "--save", "vis,npy"]
    assert cli.main(["stream", str(video), *arguments, "--mask", str(tmp_path / "view.png")]) == 0
    *_, last = VideoFile(tmp_path / "out" / "w_vis.mp4")
    assert last.rgb[10:22, 10:22].mean() > 250
    assert last.rgb[:6].mean() < 5
    assert (np.load(tmp_path / "out" / "w_depths_npy" / "frame_00001.npy")[~view] == 0).all()
    pipe(monkeypatch, bytes(32 * 32 * 3))
    assert cli.main(["stream", "-", "--raw", "32x32", "--raw-size", "32x32"]) == 2
    assert "--raw: --raw-size is also given" in capsys.readouterr().err
    assert cli.main(["stream", "-", "--raw", "32x32", "--mask", "auto"]) == 2
    assert "--mask auto: standard input can be read only once; give a mask image" in capsys.readouterr().err


def test_the_view_of_a_file_is_looked_for_on_request_and_said(tmp_path, capsys):
    rows, columns = np.mgrid[:96, :128]
    view = (columns - 64) ** 2 + (rows - 48) ** 2 < 40**2
    pictures = [np.where(view[..., None], 90 + moving_picture(i, 96, 128) // 2, 2).astype(np.uint8) for i in range(8)]
    video = write_video(tmp_path / "round.mp4", pictures)
    for mask, told in ([], False), (["--mask", "auto"], True):
        assert cli.main(["stream", str(video), *mask]) == 0
        assert ("depth is 0 in the rest" in capsys.readouterr().err) == told


def test_latency_leaves_out_the_frames_that_compile():
    latency = job.Latency.of([30.0, 10.0] + [0.04] * 99 + [1.0])
    assert (latency.start, latency.median, latency.slow) == pytest.approx((40_000, 40, 40))
    assert job.Latency.of([0.5]).median == 500
