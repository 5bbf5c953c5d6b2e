"""`endodav infer` from the user's side, with a network that answers luminance."""

import contextlib
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from endodav_jax import cli
from endodav_jax.checkpoints.card import Card
from endodav_jax.config import Config
from endodav_jax.depth_video import run as job
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.outputs import check_outputs
from endodav_jax.errors import UserError
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.jobs import infer as command
from endodav_jax.models import DepthModelConfig
from endodav_jax.video.video_file import VideoFile
from tests.media_fixtures import (
    FakeEstimator,
    cut_short,
    damage,
    load_fake,
    luminance,
    moving_picture,
    noisy_picture,
    write_video,
)


@pytest.fixture
def video(tmp_path) -> Path:
    return write_video(tmp_path / "clip.mp4", map(moving_picture, range(40)))


@pytest.fixture
def endodav(monkeypatch, capsys, tmp_path):
    """Runs `endodav infer ... -o <tmp>/out` and returns (exit code, stdout, stderr without progress bars)."""
    monkeypatch.setattr(job, "load_estimator", load_fake)

    def run(*arguments) -> tuple[int, str, str]:
        code = cli.main(["infer", *map(str, arguments), "-o", str(tmp_path / "out"), "--quiet"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def one_line(message: str, *parts: str) -> None:
    """The message is one line that says all of `parts`."""
    assert message.startswith("endodav infer: ")
    assert message.count("\n") == 1
    for part in parts:
        assert part in message


def outputs(tmp_path) -> set[str]:
    out = tmp_path / "out"
    return {path.name for path in out.iterdir()} if out.exists() else set()


def test_a_video_gives_everything_named_as_video_depth_anything_names_it(endodav, video, tmp_path):
    code, out, err = endodav(video, "--save", "npz,npy,png16,exr,tiff,ply")
    assert (code, out, err) == (0, "", "")
    assert outputs(tmp_path) == {
        "clip_src.mp4", "clip_vis.mp4", "clip_sbs.mp4", "clip_depths.npz", "clip_depths_npy", "clip_depths_png",
        "clip_depths_exr", "clip_depths_tiff", "clip_points_ply", "clip_meta.json",
    }  # fmt: skip
    frames = [frame.rgb for frame in VideoFile(video)]
    with np.load(tmp_path / "out" / "clip_depths.npz") as file:
        np.testing.assert_array_equal(file["disparities"], [luminance(frame) for frame in frames])
        np.testing.assert_array_equal(file["depths"], depth_from_disparity(file["disparities"]))
        np.testing.assert_array_equal(file["frame_index"], np.arange(40))
        assert file["fps"] == 25
        assert file["intrinsics"].shape == (4,)
    for folder in ("depths_npy", "depths_png", "depths_exr", "depths_tiff", "points_ply"):
        assert len(list((tmp_path / "out" / f"clip_{folder}").glob("frame_000*"))) == 40
    assert VideoFile(tmp_path / "out" / "clip_sbs.mp4").size == (48, 128)


def test_depth_lies_in_the_range_of_the_networks_configuration(endodav, monkeypatch, video, tmp_path):
    model = DepthModelConfig(min_depth=2.0, max_depth=80.0)
    monkeypatch.setattr(
        job, "load_estimator", lambda *_: (FakeEstimator(config=model), load_fake("", InferConfig())[1])
    )
    assert endodav(video, "--save", "npz", "--max-len", 2)[0] == 0
    with np.load(tmp_path / "out" / "clip_depths.npz") as file:
        np.testing.assert_array_equal(file["depths"], depth_from_disparity(file["disparities"], 2.0, 80.0))
    units = json.loads((tmp_path / "out" / "clip_meta.json").read_text())["units"]
    assert (units["min_depth"], units["max_depth"]) == (2.0, 80.0)


def test_nothing_is_written_beside_the_input(endodav, video, tmp_path):
    endodav(video)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "out"}


def test_colours_span_the_whole_clip(endodav, video, tmp_path):
    """A frame's own range would make every frame as bright as the next; the clip grows brighter to its end."""
    endodav(video, "--cmap", "gray", "--save", "none")
    levels = [frame.rgb.mean() for frame in VideoFile(tmp_path / "out" / "clip_vis.mp4")]
    assert levels[-1] - levels[0] > 30
    assert np.all(np.diff(levels) > 0)


def test_side_by_side_shows_the_frame_and_its_own_depth(endodav, video, tmp_path):
    endodav(video, "--grayscale", "--range", "0,1")
    for index, (pair, frame) in enumerate(
        zip(VideoFile(tmp_path / "out" / "clip_sbs.mp4"), VideoFile(video), strict=True)
    ):
        assert np.abs(pair.rgb[:, :64].astype(int) - frame.rgb).mean() < 4, index
        assert np.abs(pair.rgb[:, 64:, 0] / 255 - luminance(frame.rgb)).mean() < 0.02, index


def test_the_description_says_what_the_numbers_mean(endodav, video, tmp_path):
    endodav(video, "--align", "vda", "--intrinsics", "60,61,31,23", "--save", "npz,png16", "--max-len", "33")
    meta = json.loads((tmp_path / "out" / "clip_meta.json").read_text())
    assert "up to one scale and one shift" in meta["units"]["disparities"]
    assert "not metric" in meta["units"]["depths"]
    assert meta["card"]["what"] == "luminance"
    assert meta["model"]["preset"] == "vitb"
    assert (meta["frames"], meta["complete"], meta["stopped"]) == (33, True, None)
    assert meta["alignment"]["rule"] == "vda"
    assert [(w["first_frame"], w["last_frame"]) for w in meta["alignment"]["windows"]] == [(0, 31), (32, 32)]
    assert meta["alignment"]["windows"][1]["scale"] == 1.5
    assert meta["intrinsics"]["fx_fy_cx_cy"] == [60, 61, 31, 23]
    with np.load(tmp_path / "out" / "clip_depths.npz") as file:
        assert meta["range"]["disparities"] == [file["disparities"].min(), file["disparities"].max()]
        deepest = float(file["depths"].max())
    assert meta["png16"]["scale"] * deepest <= 65535 < 2 * meta["png16"]["scale"] * deepest
    assert {"jax", "flax", "numpy", "av"} == set(meta["packages"])


@pytest.mark.parametrize("count", [1, 5, 31, 32, 33])
def test_a_video_of_any_length_gives_depth_of_every_frame(endodav, tmp_path, count):
    video = write_video(tmp_path / "n.mp4", map(moving_picture, range(count)))
    assert endodav(video)[0] == 0
    with np.load(tmp_path / "out" / "n_depths.npz") as file:
        assert file["depths"].shape == (count, 48, 64)
    assert len(list(VideoFile(tmp_path / "out" / "n_vis.mp4"))) == count


def test_one_image_gives_a_picture_too(endodav, tmp_path):
    Image.fromarray(moving_picture(0, 47, 61)).save(tmp_path / "photo.png")
    assert endodav(tmp_path / "photo.png")[0] == 0
    assert {"photo_vis.png", "photo_vis.mp4", "photo_depths.npz"} <= outputs(tmp_path)
    with Image.open(tmp_path / "out" / "photo_vis.png") as picture:
        assert picture.size == (61, 47)


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_a_folder_and_a_pattern_are_named_after_the_folder(endodav, tmp_path, pattern):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in (1, 2, 10):
        Image.fromarray(moving_picture(3 * i)).save(folder / f"{i}.png")
    assert endodav(folder / pattern)[0] == 0
    with np.load(tmp_path / "out" / "frames_depths.npz") as file:
        np.testing.assert_array_equal(file["disparities"], [luminance(moving_picture(3 * i)) for i in (1, 2, 10)])


def test_video_depth_anythings_own_flags_work(endodav, video, tmp_path):
    code, *_ = endodav(
        "--input_video", video, "--encoder", "vitb", "--max_len", "-1", "--target_fps", "12.5", "--max_res", "32",
        "--fp32", "--grayscale", "--save_npz", "--save_exr", "--focal-length-x", "470.4", "--focal-length-y", "470.4",
    )  # fmt: skip
    assert code == 0
    assert {"clip_depths.npz", "clip_depths_exr"} <= outputs(tmp_path)
    with np.load(tmp_path / "out" / "clip_depths.npz") as file:
        assert file["depths"].shape == (20, 24, 32)
        np.testing.assert_array_equal(file["frame_index"], np.arange(0, 40, 2))
        np.testing.assert_allclose(file["intrinsics"], [235.2, 235.2, 15.5, 11.5])
        assert file["fps"] == 12.5


def test_stereo_takes_one_eye(endodav, tmp_path):
    pictures = [np.concatenate([moving_picture(i), moving_picture(i + 50)]) for i in range(3)]
    video = write_video(tmp_path / "s.mp4", pictures)
    assert endodav(video, "--stereo", "bottom")[0] == 0
    with np.load(tmp_path / "out" / "s_depths.npz") as file:
        expected = [luminance(frame.rgb[48:]) for frame in VideoFile(video)]
        np.testing.assert_array_equal(file["disparities"], expected)


def test_a_masked_view_is_zero_outside_and_does_not_stretch_the_colours(endodav, tmp_path):
    rows, columns = np.mgrid[:96, :128]
    view = (columns - 64) ** 2 + (rows - 48) ** 2 < 40**2
    pictures = [np.where(view[..., None], 90 + moving_picture(i, 96, 128) // 2, 2).astype(np.uint8) for i in range(8)]
    video = write_video(tmp_path / "m.mp4", pictures)
    Image.fromarray(view).save(tmp_path / "view.png")
    for mask in ([], ["--mask", "auto"], ["--mask", tmp_path / "view.png"]):
        assert endodav(video, *mask, "--save", "npz,ply", "--overwrite")[0] == 0
        with np.load(tmp_path / "out" / "m_depths.npz") as file:
            outside = file["disparities"][0] == 0
            assert (outside == ~view).mean() > 0.98
            assert (file["depths"][:, outside] == 0).all()
        meta = json.loads((tmp_path / "out" / "m_meta.json").read_text())
        assert meta["range"]["disparities"][0] > 0.3
        assert meta["mask"]["share_inside"] == pytest.approx(view.mean(), abs=0.02)
        told = [note for note in meta["mask"]["notes"] if "depth is 0 in the rest" in note]
        assert len(told) == (0 if "view.png" in str(mask) else 1)
    assert endodav(video, "--mask", "none", "--overwrite")[0] == 0
    with np.load(tmp_path / "out" / "m_depths.npz") as file:
        assert (file["disparities"][0][~view] > 0).mean() > 0.5


def test_a_variable_rate_is_said_with_all_times(endodav, tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.0]
    endodav(write_video(tmp_path / "v.mp4", map(moving_picture, range(6)), times=times))
    meta = json.loads((tmp_path / "out" / "v_meta.json").read_text())
    np.testing.assert_allclose(meta["times"]["of"], times, atol=1e-3)


def test_an_even_rate_needs_no_times(endodav, video, tmp_path):
    endodav(video)
    assert "times" not in json.loads((tmp_path / "out" / "clip_meta.json").read_text())


def test_existing_outputs_are_refused_before_any_work(endodav, video, tmp_path, monkeypatch):
    assert endodav(video)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(job, "load_estimator", lambda *_: pytest.fail("the network was loaded"))
    code, _, err = endodav(video)
    assert code == 2
    one_line(err, "clip_src.mp4: already exists; pass --overwrite")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(job, "load_estimator", load_fake)
    assert endodav(video, "--overwrite")[0] == 0


def test_weights_that_cannot_be_used_leave_no_folder(endodav, video, tmp_path, monkeypatch):
    def refused(*_):
        raise UserError("--precision int8: not here")

    monkeypatch.setattr(job, "load_estimator", refused)
    assert endodav(video)[0] == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()  # the user's own
    assert endodav(video)[0] == 2
    assert (tmp_path / "out").is_dir()


def test_damage_in_the_middle_keeps_what_came_before_and_says_so(endodav, tmp_path):
    video = write_video(tmp_path / "d.mp4", (moving_picture(i, 240, 320) for i in range(40)))
    damage(video, packet=26)
    code, _, err = endodav(video)
    assert code == 1
    one_line(err, "d.mp4: reading stopped after", "of about 40 frames", "frames before this is in")
    with np.load(tmp_path / "out" / "d_depths.npz") as file:
        kept = len(file["depths"])
    assert 23 <= kept <= 26
    assert len(list(VideoFile(tmp_path / "out" / "d_sbs.mp4"))) == kept
    meta = json.loads((tmp_path / "out" / "d_meta.json").read_text())
    assert (meta["complete"], meta["frames"], meta["input"]["frames_by_header"]) == (False, kept, 40)
    assert f"after {kept} of" in meta["stopped"]


def test_a_file_cut_short_keeps_what_came_before(endodav, tmp_path):
    video = write_video(tmp_path / "d.mp4", map(noisy_picture, range(60)))
    cut_short(video, 0.6)
    code, _, err = endodav(video)
    assert code == 1
    one_line(err, "d.mp4", "cut short")
    assert "d_depths.npz" in outputs(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("hello"), "not a video"),
        (lambda path: path.write_bytes(b""), "not a video"),
        (lambda path: path.mkdir(), "holds no images"),
    ],
    ids=["missing", "text", "empty", "empty folder"],
)
def test_what_is_no_input_is_one_line_and_leaves_nothing(endodav, tmp_path, make, message):
    make(tmp_path / "x.mp4")
    code, _, err = endodav(tmp_path / "x.mp4")
    assert code == 2
    one_line(err, "x.mp4", message)
    assert outputs(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--save", "npz,jpeg"], ["--save: 'jpeg' is not one of npz"]),
        (["--videos", "avi"], ["--videos: 'avi' is not one of"]),
        (["--range", "5,1"], ["--range: '5,1'", "lower one first"]),
        (["--range", "wide"], ["--range: 'wide' is not"]),
        (["--png-scale", "-1"], ["--png-scale: -1.0 must not be negative"]),
        (["--intrinsics", "1,2,3"], ["--intrinsics 1,2,3: holds 3 numbers"]),
        (["--mask", "none.png"], ["none.png: no such file"]),
        (["--intrinsics", "60,60,31.5,23.5", "--focal-length-x", "60"], ["--intrinsics is also given; name one"]),
        (["-i", "other.mp4"], ["name one input"]),
        (["--masks", "none", "--mask-outputs"], ["--mask-outputs: uses the masks of frames", "drop one of them"]),
    ],
)
def test_settings_that_make_no_sense_are_one_line_and_leave_no_folder(endodav, video, tmp_path, arguments, parts):
    code, _, err = endodav(video, *arguments)
    assert code == 2
    one_line(err, *parts)
    assert not (tmp_path / "out").exists()


def test_no_input_says_what_to_give(tmp_path, capsys):
    assert cli.main(["infer", "-o", str(tmp_path / "out")]) == 2
    one_line(capsys.readouterr().err, "INPUT: none given")


def test_without_weights_the_shipped_network_is_used_and_said(capsys):
    estimator, card = job.load_estimator("", InferConfig())
    said = capsys.readouterr().err
    assert "no --weights given: using shipped-mixed, the small network" in said
    assert said.count("\n") == 1
    assert estimator.config.preset == "vitt"
    assert "phantom" in card.what


def test_an_output_folder_that_is_a_file_is_one_line(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "load_estimator", load_fake)
    assert cli.main(["infer", str(video), "-o", str(video)]) == 2
    one_line(capsys.readouterr().err, "clip.mp4: cannot create this folder")


def test_a_disk_too_small_is_told_before_any_work(endodav, video, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    code, _, err = endodav(video)
    assert code == 2
    one_line(err, "has 1.0 kB free")
    assert re.search(r"needs [1-9]\d*\.\d (kB|MB) and", err)


@pytest.mark.parametrize(
    ("options", "maps"), [({}, 3), ({"steady": True}, 4), ({"scale": ("points", "p.txt")}, 4), ({"save": ()}, 1)]
)
def test_the_space_that_is_asked_for_is_that_of_the_maps_that_are_written(tmp_path, monkeypatch, options, maps):
    config = InferConfig(input="clip.mp4", **{"save": ("npz",)} | options)
    reader = types.SimpleNamespace(count=10, size=(100, 200))
    paths = {kind: tmp_path / kind for kind in (*config.save, "meta")}
    needed = maps * 4 * 10 * 100 * 200
    for free in (needed - 1, needed):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: types.SimpleNamespace(free=free))
        with contextlib.nullcontext() if free == needed else pytest.raises(UserError, match="free space"):
            check_outputs(paths, reader, config)


FULL_DISK = """
import resource, sys
from pathlib import Path
from endodav_jax.errors import UserError
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video import run
from tests.media_fixtures import load_fake
from tests.process_memory import peak_kilobytes
run.load_estimator = load_fake
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    run.infer(InferConfig(input=sys.argv[1], quiet=True), Path(sys.argv[2]))
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("limit", [60_000, 700_000], ids=["spool", "npz"])
def test_no_space_left_is_one_line_and_leaves_no_file(video, tmp_path, limit):
    """A limit on the size of files stands for a full disk."""
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(video), str(out), str(limit)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(out) in done.stderr
    assert "File too large" in done.stderr
    assert "free space" in done.stderr
    assert not out.exists()


def test_progress_is_shown_unless_quiet(video, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "load_estimator", load_fake)
    assert cli.main(["infer", str(video), "-o", str(tmp_path / "out"), "--verbose"]) == 0
    captured = capsys.readouterr()
    assert "40/40" in captured.err
    assert "frame/s" in captured.err
    assert "window 1: frames 32-39, scale 1.500000, shift -0.250000" in captured.err
    assert "40 frames" in captured.out


def test_a_configuration_runs_it_too(video, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "load_estimator", load_fake)
    config = Config(job="infer", infer=InferConfig(input=str(video), quiet=True, save=()))
    assert command.run_config(config, tmp_path / "out") == 0
    assert outputs(tmp_path) == {"clip_src.mp4", "clip_vis.mp4", "clip_sbs.mp4", "clip_meta.json"}


def test_an_error_of_the_network_leaves_no_file(video, tmp_path, monkeypatch):
    class Broken(FakeEstimator):
        def iter_infer(self, frames, **settings):
            for place, disparity in super().iter_infer(frames, **settings):
                if place == 35:
                    raise RuntimeError("device lost")
                yield place, disparity

    monkeypatch.setattr(job, "load_estimator", lambda *_: (Broken(), Card("", "")))
    with pytest.raises(RuntimeError):
        cli.main(["infer", str(video), "-o", str(tmp_path / "out"), "--quiet"])
    assert outputs(tmp_path) == set()


MEMORY = """
import sys
from pathlib import Path
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video import run
from tests.media_fixtures import load_fake
from tests.process_memory import peak_kilobytes
run.load_estimator = load_fake
run.infer(InferConfig(input=sys.argv[1], quiet=True), Path(sys.argv[2]))
print(peak_kilobytes())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    """Disparities alone of the longer video are 90 MB more than those of the shorter one."""
    peaks = []
    for count in (40, 240):
        video = write_video(
            tmp_path / f"{count}.mp4",
            (moving_picture(i, 288, 384) for i in range(count)),
            options={"crf": "20", "preset": "ultrafast"},
        )
        arguments = [sys.executable, "-c", MEMORY, str(video), str(tmp_path / str(count))]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_points_in_millimetres_make_depth_of_it(endodav, video, tmp_path):
    """The fake network's depth is 1/3 of the truth here."""
    frames = [frame.rgb for frame in VideoFile(video)]
    rows = [
        (number, u, v, 3 * depth_from_disparity(luminance(frames[number]))[v, u])
        for number in range(0, 40, 5)
        for u, v in ((5, 7), (20, 30), (40, 11), (50, 33), (60, 20), (30, 40))
    ]
    np.savetxt(tmp_path / "points.txt", rows)
    code, _, err = endodav(video, "--scale", "points", tmp_path / "points.txt")
    assert (code, err) == (0, "")
    with np.load(tmp_path / "out" / "clip_depths.npz") as file:
        np.testing.assert_allclose(file["depths_mm"], 3 * file["depths"], rtol=1e-3)
    scale = json.loads((tmp_path / "out" / "clip_meta.json").read_text())["scale"]
    assert abs(scale["mm_per_unit"] - 3) < 0.01
    units = json.loads((tmp_path / "out" / "clip_meta.json").read_text())["units"]
    assert units["depths_mm"].startswith("depths times scale.mm_per_unit, in mm")


@pytest.mark.parametrize("scale", [["length", "1,1,30,1,0=5"], ["poses", "poses.txt"]])
def test_a_scale_that_needs_the_camera_is_refused_before_the_network_runs(endodav, video, tmp_path, monkeypatch, scale):
    monkeypatch.chdir(tmp_path)
    np.savetxt("poses.txt", np.tile(np.eye(4)[:3].ravel(), (40, 1)))
    code, _, err = endodav(video, "--scale", *scale)
    assert code == 2
    one_line(err, f"--scale {scale[0]}: needs the camera; give --intrinsics")
    assert outputs(tmp_path) == set()


def test_a_length_in_a_frame_that_is_not_read_is_refused_at_once(endodav, video, tmp_path):
    given = ("--intrinsics", "60,60,31.5,23.5", "--max-len", "3")
    code, _, err = endodav(video, *given, "--scale", "length", "1,1,30,1,5=5")
    assert code == 2
    one_line(err, "--scale length: frame 5 is not among the 3 that are read")


def test_a_scale_that_does_not_fit_is_one_line(endodav, video, tmp_path):
    (tmp_path / "points.txt").write_text("900 1 1 30\n")
    code, _, err = endodav(video, "--scale", "points", tmp_path / "points.txt")
    assert code == 2
    one_line(err, "has points for frame 900 and others, none in this clip")
    assert not [name for name in outputs(tmp_path) if name.endswith(("npz", "json"))]


def test_frames_that_no_video_can_hold_are_refused_before_the_network_runs(endodav, tmp_path):
    (tmp_path / "wide").mkdir()
    for number in range(2):
        Image.new("RGB", (9000, 32)).save(tmp_path / f"wide/{number}.png")
    code, _, err = endodav(tmp_path / "wide")
    assert code == 2
    one_line(err, "--videos sbs: 18000 pixels are more than the 16384 that H.264 takes; lower --max-res")
    assert not (tmp_path / "out").exists()
    assert endodav(tmp_path / "wide", "--max-res", "8000", "--save", "none")[0] == 0


def test_a_long_name_is_shortened_in_the_names_of_outputs(endodav, video, tmp_path):
    long = video.rename(tmp_path / f"{'a' * 240}.mp4")
    assert endodav(long, "--save", "npy")[0] == 0
    names = outputs(tmp_path)
    assert len(names) == 5
    assert all(len(name) < 220 and name.startswith("aaa") for name in names)
