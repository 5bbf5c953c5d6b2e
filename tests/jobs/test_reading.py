"""What `infer` and `stream` make of recordings that are not quite as they should be."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import plyfile
import pytest

from endodav_jax import cli
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import jpeg_bytes, load_fake, mjpeg_avi, numbered_picture, write_video
from tests.video.test_deinterlace import write_fields


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    """Runs a command with a network that answers luminance; returns (exit code, what was said, what meta.json says)."""
    for command in ("run", "stream"):
        monkeypatch.setattr(f"endodav_jax.depth_video.{command}.load_estimator", load_fake)

    def run(*arguments):
        code = cli.main([*map(str, arguments), "-o", str(tmp_path / "out")])
        said = "".join(capfd.readouterr())
        descriptions = list((tmp_path / "out").glob("*_meta.json"))
        return code, said, json.loads(descriptions[0].read_text()) if descriptions else None

    return run


def test_pixels_that_are_not_square_stay_so_in_videos_and_in_points(run, tmp_path):
    path = write_video(tmp_path / "wide.mp4", map(numbered_picture, range(3)), pixel_aspect=Fraction(64, 45))
    code, _, about = run("infer", path, "--save", "npz,ply")
    assert code == 0
    assert about["input"]["pixel_aspect"] == pytest.approx(64 / 45)
    fx, fy = about["intrinsics"]["fx_fy_cx_cy"][:2]
    assert fx / fy == pytest.approx(45 / 64)
    for kind in ("src", "vis", "sbs"):
        assert VideoFile(tmp_path / f"out/wide_{kind}.mp4").pixel_aspect == Fraction(64, 45)
    points = plyfile.PlyData.read(tmp_path / "out/wide_points_ply/frame_00000.ply")["vertex"]
    widest = np.abs(points["x"] / points["z"]).max()
    highest = np.abs(points["y"] / points["z"]).max()
    assert widest / highest == pytest.approx(79 / 63 * 64 / 45, rel=1e-3)


def test_square_pixels_leave_the_camera_square(run, tmp_path):
    _, _, about = run("infer", write_video(tmp_path / "a.mp4", map(numbered_picture, range(3))))
    fx, fy = about["intrinsics"]["fx_fy_cx_cy"][:2]
    assert fx == fy == pytest.approx(0.82 * 80)


def test_deinterlacing_is_said_and_can_be_refused(run, tmp_path):
    path = write_fields(tmp_path / "tower.mpg")
    code, said, about = run("infer", path)
    assert code == 0
    assert "its frames are interlaced: they are deinterlaced" in said
    assert about["input"]["deinterlaced"] is True
    assert any("interlaced" in note for note in about["input"]["notes"])
    code, said, about = run("infer", path, "--deinterlace", "off", "--overwrite")
    assert about["input"]["deinterlaced"] is False
    assert "interlaced" not in said


def joined(path: Path) -> Path:
    part = write_video(path.with_name("one.ts"), map(numbered_picture, range(20))).read_bytes()
    path.write_bytes(part * 3)
    return path


def test_a_joined_recording_is_thinned_to_its_end(run, tmp_path):
    code, said, about = run("infer", joined(tmp_path / "j.ts"), "--target-fps", "5")
    assert code == 0
    assert about["frames"] == 12
    assert said.count("times start again after 20 frames") == 1


def test_a_joined_recording_is_streamed_in_growing_time(run, tmp_path):
    code, said, _ = run("stream", joined(tmp_path / "j.ts"))
    assert code == 0
    assert "Traceback" not in said
    times = [frame.time for frame in VideoFile(tmp_path / "out/j_vis.mp4")]
    assert len(times) == 60
    np.testing.assert_allclose(np.diff(times), 0.04, atol=2e-3)


def test_dropped_frames_are_described_by_the_times_of_the_others(run, tmp_path):
    chunks = [b"" if i % 7 == 3 else jpeg_bytes(numbered_picture(i)) for i in range(40)]
    code, _, about = run("infer", mjpeg_avi(tmp_path / "dropped.avi", chunks, (64, 80)))
    assert (code, about["frames"], about["complete"]) == (0, 34, True)
    assert "its header announces 40 frames, 34 can be shown" in about["input"]["notes"]
    assert about["times"]["of"][3] == pytest.approx(0.16)


def test_a_placeholder_for_the_number_of_frames_asks_for_no_room(run, tmp_path):
    chunks = [jpeg_bytes(numbered_picture(i)) for i in range(9)]
    path = mjpeg_avi(tmp_path / "piped.avi", chunks, (64, 80), announced=1 << 30, closed=False)
    code, _, about = run("infer", path)
    assert (code, about["frames"]) == (0, 9)


@pytest.mark.usefixtures("run")
def test_a_colon_is_a_character_like_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(Path("10:32:05.mp4"), map(numbered_picture, range(3)))
    for name in ("10:32:05.mp4", "./10:32:05.mp4", tmp_path / "10:32:05.mp4"):
        assert cli.main(["infer", str(name), "-o", ".", "--quiet", "--overwrite"]) == 0
        assert len(list(VideoFile("10:32:05_vis.mp4"))) == 3


def test_a_track_can_be_chosen(run, tmp_path):
    path = write_video(tmp_path / "a.mp4", map(numbered_picture, range(3)))
    assert run("infer", path, "--track", "0")[0] == 0
    code, said, _ = run("infer", path, "--track", "1", "--overwrite")
    assert code == 2
    assert "--track 1: " in said
    assert "has 1 video track: 0 (80x64 h264)" in said


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize backend 'rocm'")])
def test_a_device_that_is_not_there_is_one_line(tmp_path, capfd, monkeypatch, error):
    def devices(*_):
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    path = write_video(tmp_path / "a.mp4", map(numbered_picture, range(3)))
    assert cli.main(["infer", str(path), "-o", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert said.startswith("endodav infer: JAX_PLATFORMS=cuda: ")
    assert "unset it" in said
    assert said.count("\n") == 1
