"""`endodav infer` of many recordings: one network, a folder each, and no failure costs the rest."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from endodav_jax import cli
from endodav_jax.depth_video import many
from endodav_jax.depth_video import run as infer_run
from endodav_jax.depth_video.recordings import find_recordings, identity_of, read_list
from endodav_jax.errors import Terminated, UserError
from endodav_jax.video import dicom_file
from endodav_jax.video.image_files import images_matching
from tests.dicom_fixtures import write_frames
from tests.media_fixtures import cut_short, load_fake, moving_picture, write_video

FRAMES = 3


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Videos and images in several folders, which is where the command runs."""
    for name in ("a/A.mp4", "b/A.mkv", "b/B.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write_video(path, map(moving_picture, range(FRAMES)))
    (tmp_path / "images").mkdir()
    for i in range(FRAMES):
        Image.fromarray(moving_picture(i)).save(tmp_path / f"images/{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def infer(place, monkeypatch, capsys):
    """Runs the command; returns (exit code, stdout, stderr, how often the network was loaded)."""

    def run(*arguments, out="out", save="npz"):
        loads = []

        def load(*given):
            loads.append(given)
            return load_fake(*given)

        monkeypatch.setattr(many, "load_estimator", load)
        monkeypatch.setattr(infer_run, "load_estimator", load)
        code = cli.main(["infer", *arguments, "-o", out, "--save", save, "--videos", "none"])
        said = capsys.readouterr()
        return code, said.out, said.err, len(loads)

    return run


def outputs(place):
    return {path.name: {file.name for file in path.iterdir()} for path in (place / "out").iterdir()}


def test_every_recording_has_a_folder_and_the_network_is_loaded_once(infer, place):
    code, out, err, loads = infer("a/A.mp4", "b/B.mp4", "images")
    assert (code, loads) == (0, 1)
    assert outputs(place) == {
        "A": {"A_depths.npz", "A_meta.json"},
        "B": {"B_depths.npz", "B_meta.json"},
        "images": {"images_depths.npz", "images_meta.json"},
    }
    assert "[2/3] b/B.mp4" in err
    table = out[out.index("recording") :].splitlines()
    assert table[2].split() == ["a/A.mp4", "A", "done", "3", table[2].split()[-1]]
    assert table[-1] == "3 done"


def test_one_recording_is_written_as_ever(infer, place):
    assert infer("a/A.mp4")[0] == 0
    assert {path.name for path in (place / "out").iterdir()} == {"A_depths.npz", "A_meta.json"}


def test_patterns_and_folders_are_all_that_they_hold(infer, place):
    assert infer("b/*.m*", "a")[0] == 0
    assert set(outputs(place)) == {"A_mkv", "B", "a"}
    assert [r.input for r in find_recordings(["b", "images/*.png"]).found] == ["b/A.mkv", "b/B.mp4", "images/*.png"]
    (place / "images").rename(place / "stills")
    assert [r.input for r in find_recordings(["."]).found] == ["a", "b/A.mkv", "b/B.mp4", "stills"]


def test_recordings_are_found_however_deep_they_lie(place):
    (place / "b/2024/case").mkdir(parents=True)
    (place / "a/A.mp4").rename(place / "b/2024/case/z.mp4")
    assert [r.input for r in find_recordings(["b"]).found] == ["b/A.mkv", "b/B.mp4", "b/2024/case"]
    (place / "a/inner").mkdir()
    (place / "b/2024").rename(place / "a/inner/2024")
    assert [r.input for r in find_recordings(["a"]).found] == ["a/inner/2024/case"]


def test_one_recording_in_a_pattern_or_below_a_folder_is_read(infer, place):
    (place / "a/deeper").mkdir()
    (place / "a/A.mp4").rename(place / "a/deeper/A.mp4")
    for number, given in enumerate(("a", "a/deeper/*.mp4")):
        code, _, err, _ = infer(given, "--overwrite")
        assert (code, number, err.count("holds no images")) == (0, number, 0)


def test_outputs_beside_the_recordings_are_no_recordings(infer, place):
    assert infer("b", out="b")[0] == 0
    (place / "b/A/A_vis.mp4").write_bytes((place / "b/B.mp4").read_bytes())
    code, out, err, _ = infer("b", out="b")
    assert (code, out.splitlines()[-1]) == (0, "2 done before")
    assert "b: left out: A, B (results of an earlier run)" in err


def test_links_that_lead_back_multiply_no_recording(place):
    (place / "b/self").symlink_to(".")
    (place / "b/up").symlink_to("..")
    (place / "images/self").symlink_to(".")
    assert [recording.input for recording in find_recordings(["b"]).found] == ["b/A.mkv", "b/B.mp4"]
    assert [recording.input for recording in find_recordings(["b/**/*.m*"]).found] == ["b/A.mkv", "b/B.mp4"]
    assert len(images_matching("images/**/*.png")) == FRAMES


def test_names_that_collide_are_told_apart_and_said(infer, place):
    code, _, err, _ = infer("a/A.mp4", "b/A.mkv", "b/B.mp4", "a/A.mp4")
    assert code == 0
    assert set(outputs(place)) == {"A_mp4", "A_mkv", "B"}
    assert "b/A.mkv: its outputs go to A_mkv, since another input is also called A" in err
    assert "named more than once, used once: a/A.mp4" in err
    (place / "b/A.mp4").write_bytes((place / "a/A.mp4").read_bytes())
    assert [r.name for r in find_recordings(["a/A.mp4", "b/A.mp4"]).found] == ["a_A_mp4", "b_A_mp4"]
    (place / "c/a").mkdir(parents=True)
    (place / "c/a/A.mp4").write_bytes((place / "a/A.mp4").read_bytes())
    assert [r.name for r in find_recordings(["a/A.mp4", "c/a/A.mp4"]).found] == ["a_A_mp4", "a_A_mp4_2"]


def test_a_failure_is_one_line_and_the_rest_goes_on(infer, place):
    (place / "broken.mp4").write_bytes(b"no video" * 100)
    (place / "noisy.mkv").write_bytes((place / "b/A.mkv").read_bytes())
    code, out, err, loads = infer("a/A.mp4", "broken.mp4", "nothing.mp4", "images")
    assert (code, loads) == (1, 1)
    assert set(outputs(place)) == {"A", "images"}
    failures = [line for line in err.splitlines() if line.startswith("endodav infer: ")]
    assert len(failures) == 2
    assert "broken.mp4" in failures[0]
    assert "nothing.mp4" in failures[1]
    assert out.splitlines()[-1] == "2 done, 2 failed"


def test_a_fault_of_the_program_does_not_cost_the_rest(infer, place, monkeypatch):
    original = many.infer_recording

    def faulty(config, *rest):
        if "A.mp4" in config.input:
            raise IndexError("a bug")
        return original(config, *rest)

    monkeypatch.setattr(many, "infer_recording", faulty)
    code, out, err, _ = infer("a/A.mp4", "images")
    assert code == 1
    assert "Traceback" in err
    assert "a/A.mp4: a bug in this program (IndexError)" in err
    assert out.splitlines()[-1] == "1 failed, 1 done"


def test_weights_that_are_missing_end_all_at_once(place, monkeypatch, capsys):
    code = cli.main(["infer", "a/A.mp4", "images", "-o", "out", "--weights", "nowhere", "--quiet"])
    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nowhere" in error


def test_what_is_done_is_skipped_unless_it_is_to_be_made_anew(infer, place):
    assert infer("a/A.mp4", "images")[0] == 0
    first = (place / "out/A/A_depths.npz").stat().st_mtime_ns
    code, out, _, loads = infer("a/A.mp4", "images", "b/B.mp4")
    assert (code, loads) == (0, 1)
    assert out.splitlines()[-1] == "2 done before, 1 done"
    assert (place / "out/A/A_depths.npz").stat().st_mtime_ns == first
    assert infer("a/A.mp4", "images")[3] == 0  # the network is not even loaded
    assert infer("a/A.mp4", "images", "--overwrite")[1].splitlines()[-1] == "2 done"
    assert (place / "out/A/A_depths.npz").stat().st_mtime_ns != first


def test_what_was_made_in_another_way_is_not_taken_for_done(infer, place):
    infer("a/A.mp4", "images")
    code, _, err, _ = infer("a/A.mp4", "images", "--max-len", "2")
    assert code == 2  # nothing could be done
    assert "out/A: was made with other settings (--max-len); pass --overwrite" in err
    (place / "out/images/images_depths.npz").unlink()
    assert "images_depths.npz: missing from the earlier result" in infer("a/A.mp4", "images")[2]


def test_another_recording_of_the_same_name_is_not_taken_for_done(infer, place):
    assert infer("a/A.mp4", "images")[0] == 0
    write_video(place / "a/A.mp4", map(moving_picture, range(5)))
    code, out, err, _ = infer("a/A.mp4", "images")
    assert (code, out.splitlines()[-1]) == (1, "1 failed, 1 done before")
    assert "out/A: was made from another recording (a/A.mp4, " in err
    assert infer("a/A.mp4", "images", "--overwrite")[0] == 0


def test_what_an_earlier_run_wrote_besides_does_not_stay_beside_the_new_result(infer, place):
    assert infer("a/A.mp4", "images", save="npz,npy")[0] == 0
    assert (place / "out/A/A_depths_npy").is_dir()
    assert infer("a/A.mp4", "images", "--overwrite")[0] == 0
    assert outputs(place)["A"] == {"A_depths.npz", "A_meta.json"}


def test_what_was_made_with_weights_that_have_changed_since_is_not_taken_for_done(infer, place):
    (place / "net.pth").write_bytes(b"some weights")
    given = ("a/A.mp4", "images", "--weights", "net.pth")
    assert infer(*given)[0] == 0
    assert infer(*given)[1].splitlines()[-1] == "2 done before"
    (place / "net.pth").write_bytes(b"more weights")
    code, out, err, loads = infer(*given)
    assert (code, loads, out.splitlines()[-1]) == (2, 0, "2 failed")
    assert "out/A: net.pth has changed since it was made; pass --overwrite, or name another folder" in err
    assert infer(*given, "--overwrite")[0] == 0
    assert infer(*given)[1].splitlines()[-1] == "2 done before"
    (place / "net.pth").unlink()  # what was made of them stays
    assert infer(*given)[1].splitlines()[-1] == "2 done before"


def test_results_from_before_digests_of_weights_were_kept_are_taken_for_done(infer, place):
    assert infer("a/A.mp4", "images")[0] == 0
    path = place / "out/A/A_meta.json"
    about = json.loads(path.read_text())
    assert len(about.pop("weights_sha256")) == 64
    path.write_text(json.dumps(about))
    assert infer("a/A.mp4", "images")[1].splitlines()[-1] == "2 done before"


def test_what_a_stopped_run_left_is_made_anew(infer, place, monkeypatch):
    def stopped(*_):
        raise Terminated

    with monkeypatch.context() as patch:
        patch.setattr(infer_run, "write_description", stopped)  # it is written last
        infer("a/A.mp4", "images")
    assert not (place / "out/A/A_meta.json").exists()
    assert (place / "out/A/A_depths.npz").exists()
    code, out, _, _ = infer("a/A.mp4", "images")
    assert (code, out.splitlines()[-1]) == (0, "2 done")
    assert [path.name for path in (place / "out/A").iterdir() if path.name.startswith(".")] == []


def test_files_that_no_run_left_stay(infer, place):
    (place / "out/A").mkdir(parents=True)
    (place / "out/A/A_depths.npz").write_text("mine")
    code, _, err, _ = infer("a/A.mp4", "images")
    assert code == 1
    assert "A_depths.npz: already exists; pass --overwrite" in err
    assert (place / "out/A/A_depths.npz").read_text() == "mine"


def test_another_patient_s_recording_of_the_same_size_is_refused(infer, place):
    for patient, grey in (("p1", 80), ("p2", 160)):
        for clip in ("clip", "other"):
            (place / patient / clip).mkdir(parents=True)
            for number in range(3):
                Image.new("L", (64, 48), grey).save(place / patient / clip / f"{number}.bmp")
    assert infer("p1/clip", "p1/other")[0] == 0
    assert infer("p1/clip", "p1/other")[1].splitlines()[-1] == "2 done before"
    code, out, err, _ = infer("p2/clip", "p2/other")
    assert (code, out.splitlines()[-1]) == (2, "2 failed")
    assert "was made from another recording (p1/clip, " in err


def test_an_empty_word_is_not_the_current_folder(infer):
    code, _, err, _ = infer("", "images")
    assert code == 2
    assert "an argument is empty; is a variable of the shell not set?" in err
    with pytest.raises(UserError, match="INPUT: one is empty"):
        find_recordings(["images", ""])


def test_a_recording_that_is_cut_short_stays_so(infer, place):
    write_video(place / "long.mkv", map(moving_picture, range(60)), options={"crf": "4", "g": "5"})
    cut_short(place / "long.mkv", 0.6)
    for state in ("1 cut short, 1 done", "1 cut short, 1 done before"):
        code, out, err, _ = infer("long.mkv", "images")
        assert (code, out.splitlines()[-1]) == (1, state)
        assert "endodav infer: long.mkv: " in err
    with np.load(place / "out/long/long_depths.npz") as file:
        assert 0 < len(file["depths"]) < 60


def test_the_inputs_of_a_list_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "list.txt").write_text("~/a/A.mp4\nb.mp4\n")
    assert read_list(tmp_path / "list.txt") == [str(tmp_path / "a/A.mp4"), "b.mp4"]


def test_a_list_names_inputs(infer, place):
    (place / "lists").mkdir()
    (place / "lists/all.txt").write_text("# ours\n\na/A.mp4\n  b/*.mkv  \n")
    code, out, _, _ = infer("--from", "lists/all.txt")
    assert (code, out.splitlines()[-1]) == (0, "2 done")
    (place / "a/list.txt").write_text("A.mp4\n")  # beside the list
    assert infer("images", "--from", "a/list.txt", "--overwrite")[0] == 0
    assert set(outputs(place)) == {"A_mp4", "A_mkv", "A", "images"}
    (place / "empty.txt").write_text("# nothing\n")
    for name, words in (("empty.txt", "names no input"), ("nowhere.txt", "cannot be read")):
        code, _, err, _ = infer("--from", name)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1


def test_shards_share_the_recordings_and_their_names(infer, place):
    inputs = ("a/A.mp4", "b/A.mkv", "b/B.mp4", "images")
    for share, names in (("1/3", {"A_mp4", "images"}), ("2/3", {"A_mkv"}), ("3/3", {"B"}), ("9/9", set())):
        before = set(outputs(place)) if (place / "out").exists() else set()
        assert infer(*inputs, "--shard", share)[0] == 0
        assert set(outputs(place)) - before == names
    for share in ("0/3", "4/3", "1", "a/b"):
        code, _, err, _ = infer(*inputs, "--shard", share)
        assert code == 2
        assert f"--shard {share}: is not I/N" in err


def test_settings_of_one_recording_are_refused_for_several(infer):
    for option in (["--masks", "a"], ["--scale", "length", "1,2,30,2,0=4"]):
        code, _, err, loads = infer("a/A.mp4", "images", *option)
        assert (code, loads) == (2, 0)
        assert "there are several inputs" in err


def test_a_dicom_file_that_cannot_be_read_costs_no_other_recording_of_a_folder(infer, place, monkeypatch):
    real = dicom_file.read_header

    def read_header(path, name):
        if path.name == "c.dcm":
            raise UserError(f"{name}: its DICOM header is damaged; export it anew")
        return real(path, name)

    for name in ("b.dcm", "c.dcm", "d.dcm"):
        write_frames(place / "a" / name, np.stack([moving_picture(0), moving_picture(1)]))
    monkeypatch.setattr(dicom_file, "read_header", read_header)
    code, out, err, _ = infer("a")
    assert code == 1
    assert set(outputs(place)) == {"A", "b", "d"}
    assert [line for line in err.splitlines() if "damaged" in line] == [
        "endodav infer: a/c.dcm: its DICOM header is damaged; export it anew"
    ]
    assert out.splitlines()[-1] == "3 done, 1 failed"


def test_a_description_that_is_damaged_is_a_failure(infer, place):
    infer("a/A.mp4", "images")
    (place / "out/A/A_meta.json").write_text(json.dumps({"settings": 3}))
    assert "A_meta.json: cannot be read; pass --overwrite" in infer("a/A.mp4", "images")[2]


def test_a_shard_is_a_share():
    with pytest.raises(UserError, match="I from 1 to N"):
        find_recordings(["a.mp4"]).shard("2/1")


def test_a_description_that_names_other_files_costs_none_of_them(infer, place):
    assert infer("a/A.mp4", "images")[0] == 0
    path = place / "out/A/A_meta.json"
    about = json.loads(path.read_text())
    about["files"] |= {"up": "..", "other": "B_depths.npz", "far": "../images/images_depths.npz"}
    path.write_text(json.dumps(about))
    (place / "out/A/B_depths.npz").write_bytes(b"another's")
    assert infer("a/A.mp4", "images", "--overwrite")[0] == 0
    assert outputs(place)["A"] == {"A_depths.npz", "A_meta.json", "B_depths.npz"}
    assert outputs(place)["images"] == {"images_depths.npz", "images_meta.json"}


def test_a_pipe_is_not_waited_for_to_tell_recordings_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert identity_of(str(tmp_path / "pipe"))["bytes"] == 0
