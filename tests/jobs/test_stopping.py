"""What is left when a command is stopped by SIGTERM (docker, systemd, SLURM), or when the disk is full."""

import io
import os
import resource
import signal
import tempfile
import types

import numpy as np
import pytest

from endodav_jax import cli
from endodav_jax.depth_video import live_outputs, many
from endodav_jax.depth_video import run as infer_job
from endodav_jax.depth_video import stream as stream_job
from endodav_jax.errors import EXIT_PREEMPTED, EXIT_SOME_FAILED, EXIT_USER_ERROR
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import CARD, FakeEstimator, load_fake, moving_picture, noisy_picture, write_video


@pytest.fixture(autouse=True)
def _no_handler():
    """The handler of SIGTERM that `cli.main` finds at the start of a process."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    for job in (stream_job, infer_job, many):
        monkeypatch.setattr(job, "load_estimator", load_fake)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(12)))


@pytest.fixture
def small_files():
    """Lets no file grow beyond a number of bytes, as a full disk would; the system's own words differ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def terminated_at(place: int):
    """`load_estimator` for an estimator during whose work on a frame SIGTERM arrives."""

    class Terminated(FakeEstimator):
        pushed = 0

        def push(self, frame):
            if self.pushed == place:
                terminate()
            self.pushed += 1
            return super().push(frame)

        def iter_infer(self, *given, **named):
            for number, disparity in super().iter_infer(*given, **named):
                if number == place:
                    terminate()
                yield number, disparity

    return lambda *_: (Terminated(), CARD)


def depths(folder) -> list[np.ndarray]:
    return [np.load(file) for file in sorted(folder.iterdir())]


def test_stream_stopped_by_sigterm_keeps_what_was_recorded_and_says_so(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stream_job, "load_estimator", terminated_at(5))
    out = tmp_path / "out"
    code = cli.main(["stream", str(video), "-o", str(out), "--save", "vis,npy", "--quiet"])
    assert code == EXIT_PREEMPTED
    assert capsys.readouterr().err == (
        f"endodav stream: stopped by SIGTERM; kept: {out / 'clip_vis.mp4'} (5 frames), "
        f"{out / 'clip_depths_npy'} (5 frames)\n"
    )
    assert len(list(VideoFile(out / "clip_vis.mp4"))) == 5
    assert len(depths(out / "clip_depths_npy")) == 5
    assert {path.name for path in out.iterdir()} == {"clip_vis.mp4", "clip_depths_npy"}


def test_stream_stopped_before_the_first_frame_leaves_nothing(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stream_job, "load_estimator", terminated_at(0))
    code = cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--save", "vis,npy", "--quiet"])
    assert (code, capsys.readouterr().err) == (EXIT_PREEMPTED, "endodav stream: stopped by SIGTERM\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_signal_while_a_frame_is_written_waits_until_it_is_whole(video, tmp_path, monkeypatch):
    save, calls = live_outputs.save_npy, []

    def save_and_terminate(file, array):
        calls.append(file)
        if len(calls) == 4:
            terminate()
        save(file, array)

    monkeypatch.setattr(live_outputs, "save_npy", save_and_terminate)
    out = tmp_path / "out"
    assert cli.main(["stream", str(video), "-o", str(out), "--save", "vis,npy", "--quiet"]) == EXIT_PREEMPTED
    assert [depth.shape for depth in depths(out / "clip_depths_npy")] == 4 * [(48, 64)]
    assert len(list(VideoFile(out / "clip_vis.mp4"))) == 4


def test_a_signal_while_outputs_are_finished_waits_until_they_are(video, tmp_path, monkeypatch):
    finish = live_outputs.keep_whole_fragments

    def terminate_and_finish(file):
        terminate()
        return finish(file)

    monkeypatch.setattr(live_outputs, "keep_whole_fragments", terminate_and_finish)
    assert cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--quiet"]) == EXIT_PREEMPTED
    assert len(list(VideoFile(tmp_path / "out" / "clip_vis.mp4"))) == 12


def test_a_signal_while_a_pipe_is_read_is_not_lost_in_the_decoder(tmp_path, monkeypatch, capsys):
    class Waiting(io.BytesIO):
        def seekable(self):
            return False

        def read1(self, size=-1):
            data = super().read1(size)
            if not data:
                terminate()
            return data

    recorded = write_video(tmp_path / "a.ts", map(moving_picture, range(40)), format_name="mpegts")
    monkeypatch.setattr(stream_job.sys, "stdin", types.SimpleNamespace(buffer=Waiting(recorded.read_bytes())))
    out = tmp_path / "out"
    assert cli.main(["stream", "-", "-o", str(out), "--quiet"]) == EXIT_PREEMPTED
    kept = len(list(VideoFile(out / "stdin_vis.mp4")))
    assert 10 < kept <= 40
    assert f"stopped by SIGTERM; kept: {out / 'stdin_vis.mp4'} ({kept} frames)" in capsys.readouterr().err


def test_stream_on_a_full_disk_keeps_the_fragments_that_are_whole(tmp_path, small_files, capsys):
    video = write_video(tmp_path / "noise.mp4", map(noisy_picture, range(120)))
    out = tmp_path / "out"
    small_files(100_000)
    assert cli.main(["stream", str(video), "-o", str(out), "--range", "0.2,0.8", "--quiet"]) == EXIT_SOME_FAILED
    kept = VideoFile(out / "noise_vis.mp4")
    frames = len(list(kept))
    assert 25 < frames < 100
    assert kept.notes == []
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{out / 'noise_vis.mp4'}: cannot be written (File too large); free space or choose another folder" in line
    assert f"kept: {out / 'noise_vis.mp4'} ({frames} frames)" in line
    assert [path.name for path in out.iterdir()] == ["noise_vis.mp4"]


def test_stream_whose_last_frames_do_not_fit_says_so_although_the_source_ended(tmp_path, small_files, capsys):
    video = write_video(tmp_path / "noise.mp4", map(noisy_picture, range(60)))
    arguments = ["stream", str(video), "--range", "0.2,0.8", "--quiet"]
    assert cli.main([*arguments, "-o", str(tmp_path / "whole")]) == 0
    small_files((tmp_path / "whole" / "noise_vis.mp4").stat().st_size - 2000)
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == EXIT_SOME_FAILED
    frames = len(list(VideoFile(tmp_path / "out" / "noise_vis.mp4")))
    assert 25 < frames < 60
    assert f"noise_vis.mp4 ({frames} frames)" in capsys.readouterr().err


def test_ctrl_c_does_not_hide_that_the_last_frames_do_not_fit(tmp_path, small_files, monkeypatch, capsys):
    class Interrupted(FakeEstimator):
        pushed = 0

        def push(self, frame):
            self.pushed += 1
            if self.pushed == 20:
                raise KeyboardInterrupt
            return super().push(frame)

    monkeypatch.setattr(stream_job, "load_estimator", lambda *_: (Interrupted(), CARD))
    video = write_video(tmp_path / "noise.mp4", map(noisy_picture, range(60)))
    small_files(10_000)  # all frames are still in the encoder when it is closed
    arguments = ["stream", str(video), "--range", "0.2,0.8", "--quiet", "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == EXIT_USER_ERROR
    assert "cannot be written (File too large); free space or choose another folder; " in capsys.readouterr().err


def test_stream_on_a_full_disk_keeps_the_depth_of_whole_frames_and_the_video(video, tmp_path, monkeypatch, capsys):
    def full_at_the_fifth(file, array):
        if file.name.endswith("4.npy"):
            file.write_bytes(b"half")
            with open("/dev/full", "wb", buffering=0) as full:
                full.write(b"x")
        np.save(file, array)

    monkeypatch.setattr(live_outputs, "save_npy", full_at_the_fifth)
    out = tmp_path / "out"
    code = cli.main(["stream", str(video), "-o", str(out), "--save", "vis,npy", "--quiet"])
    assert code == EXIT_SOME_FAILED
    assert len(depths(out / "clip_depths_npy")) == 4
    assert len(list(VideoFile(out / "clip_vis.mp4"))) == 5
    err = capsys.readouterr().err
    assert "clip_depths_npy: cannot be written (No space left on device)" in err
    assert "clip_vis.mp4 (5 frames)" in err
    assert "clip_depths_npy (4 frames)" in err


def test_a_bug_in_the_middle_of_a_session_keeps_what_was_recorded(video, tmp_path, monkeypatch, capsys):
    class Faulty(FakeEstimator):
        def push(self, frame):
            if frame.mean() > moving_picture(6).mean():
                raise ZeroDivisionError
            return super().push(frame)

    monkeypatch.setattr(stream_job, "load_estimator", lambda *_: (Faulty(), CARD))
    with pytest.raises(ZeroDivisionError):
        cli.main(["stream", str(video), "-o", str(tmp_path / "out"), "--quiet"])
    assert "clip_vis.mp4 (" in capsys.readouterr().err
    assert len(list(VideoFile(tmp_path / "out" / "clip_vis.mp4"))) in (6, 7)


def test_infer_stopped_by_sigterm_is_one_line_and_leaves_nothing(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(infer_job, "load_estimator", terminated_at(7))
    assert cli.main(["infer", str(video), "-o", str(tmp_path / "out"), "--quiet"]) == EXIT_PREEMPTED
    assert capsys.readouterr().err == "endodav infer: stopped by SIGTERM\n"
    assert not (tmp_path / "out").exists()


def test_infer_of_many_recordings_goes_on_after_sigterm(tmp_path, monkeypatch, capsys):
    for name, frames in (("a", 3), ("b", 9)):
        write_video(tmp_path / f"{name}.mp4", map(moving_picture, range(frames)))
    arguments = ["infer", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4"), "-o", str(tmp_path / "out")]
    monkeypatch.setattr(many, "load_estimator", terminated_at(5))
    assert cli.main(arguments) == EXIT_PREEMPTED
    assert not (tmp_path / "out" / "b").exists()
    monkeypatch.setattr(many, "load_estimator", load_fake)
    capsys.readouterr()
    assert cli.main(arguments) == 0
    assert "1 done before, 1 done" in capsys.readouterr().out


def test_view_stopped_by_sigterm_removes_its_temporary_files(tmp_path, monkeypatch, capsys):
    pytest.importorskip("viser", reason="the extra [view] is not installed")
    from endodav_jax.viewer.app import App

    def show(app, *_):
        assert len(list((tmp_path / "scratch").iterdir())) == 1
        terminate()

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(App, "show", show)
    assert cli.main(["view", str(tmp_path), "--port", "0", "--no-browser"]) == EXIT_PREEMPTED
    assert capsys.readouterr().err == "endodav view: stopped by SIGTERM\n"
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("command", ["infer", "reconstruct"])
def test_a_named_pipe_is_refused_by_commands_that_read_twice(command, tmp_path, capsys):
    os.mkfifo(tmp_path / "ff")
    assert cli.main([command, str(tmp_path / "ff"), "-o", str(tmp_path / "out")]) == EXIT_USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "ff: is a pipe, which can be read only once" in line
    assert "endodav stream" in line
