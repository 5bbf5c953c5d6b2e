"""`endodav evaluate` from the command line and from a configuration: table, results.json, report.html, exit codes."""

import json

import numpy as np
import pytest

from endodav_jax.cli import main
from endodav_jax.config import Config
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USER_ERROR
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import ERRORS
from endodav_jax.jobs import evaluate
from tests.data.tiny_source import prepare_tiny
from tests.evaluation.plane_videos import PlaneSource, depth_of

LENGTHS = {"test/dataset8/keyframe0": 6, "test/dataset9/keyframe1": 5}
FIRST, SECOND = LENGTHS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two data sets below one folder, of which one has the split `test`."""
    folder = tmp_path_factory.mktemp("data")
    source = PlaneSource(LENGTHS)
    prepare_tiny(folder, source, splits=("test",), name="plane")
    prepare_tiny(folder, source, splits=("eval",), name="other")
    return folder


@pytest.fixture
def predictions(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    for sequence, length in LENGTHS.items():
        np.save(folder / f"{sequence.replace('/', '_')}.npy", np.stack([depth_of(i) for i in range(length)]))
    return folder


def test_predictions_are_measured_and_reported(data, predictions, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(["evaluate", str(data), "--predictions", str(predictions), "--label", "truth", "-o", str(out)]) == EXIT_OK
    )
    printed = capsys.readouterr().out
    assert "truth: " in printed
    assert "split 'test'" in printed
    assert "scale_shift, fitted once per sequence" in printed
    assert FIRST in printed
    assert "all 11 frames" in printed
    results = json.loads((out / "results.json").read_text())
    assert results["overall"]["abs_rel"] < 1e-4
    assert results["overall"]["frames"] == 11
    assert set(results["sequences"]) == set(LENGTHS)
    assert set(ERRORS) <= set(results["sequences"][SECOND])
    page = (out / "report.html").read_text()
    assert len(page) < 3e6
    assert "http" not in page
    assert page.count("<img") == 2 * (3 * 4 + 3)  # three frames in four pictures, and three strips


def test_a_failed_sequence_is_said_and_the_rest_is_reported(data, predictions, tmp_path, capsys):
    (predictions / f"{SECOND.replace('/', '_')}.npy").unlink()
    out = tmp_path / "out"
    code = main(["evaluate", str(data), "--predictions", str(predictions), "-o", str(out), "--align", "median"])
    assert code == EXIT_SOME_FAILED
    said = capsys.readouterr()
    assert f"endodav evaluate: {SECOND}: " in said.err
    assert "all 6 frames" in said.out
    assert "median, fitted once per sequence" in said.out
    results = json.loads((out / "results.json").read_text())
    assert list(results["failures"]) == [SECOND]
    assert "no prediction; looked for" in (out / "report.html").read_text()


def test_results_stay_if_every_sequence_fails_and_what_an_earlier_run_left_goes_if_one_does_not(
    data, predictions, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ["evaluate", str(data), "--predictions", str(predictions), "-o", str(out)]
    assert main(command) == EXIT_OK
    (out / "trajectories").mkdir()  # as a checkpoint with a pose network leaves them
    (out / "trajectories/of_another_run.txt").write_text("0 0 0 0 0 0 0 1")
    names = {sequence: f"{sequence.replace('/', '_')}.npz" for sequence in LENGTHS}
    assert {file.name for file in (out / "frames").iterdir()} == set(names.values())
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    capsys.readouterr()
    assert main([*command[:2], "--predictions", str(tmp_path), *command[4:]]) == EXIT_USER_ERROR
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].endswith(f"no results; {out} keeps those of an earlier run")
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    (predictions / f"{SECOND.replace('/', '_')}.npy").unlink()
    assert main(command) == EXIT_SOME_FAILED
    assert [file.name for file in (out / "frames").iterdir()] == [names[FIRST]]
    assert not (out / "trajectories").exists()


@pytest.mark.parametrize("words", [[], ["--per-frame"]])
def test_a_sequence_whose_median_is_zero_is_one_line_and_the_rest_is_reported(
    data, predictions, tmp_path, capsys, words
):
    file = predictions / f"{SECOND.replace('/', '_')}.npy"
    np.save(file, np.where(np.arange(np.load(file).shape[-1]) < 20, 0, np.load(file)))
    out = tmp_path / "out"
    code = main(["evaluate", str(data), "--predictions", str(predictions), "-o", str(out), "--align", "median", *words])
    assert code == EXIT_SOME_FAILED
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("endodav evaluate:")]
    assert SECOND in line and "median of the predicted depth is 0" in line  # noqa: PT018
    assert "all 6 frames" in said.out
    results = json.loads((out / "results.json").read_text())
    assert list(results["failures"]) == [SECOND]
    assert results["overall"]["abs_rel"] < 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name what to evaluate"),
        (["--weights", "w", "--predictions", "p"], "name one"),
        (["--predictions", "p", "--windows", "vda"], "omit --windows"),
        (["--predictions", "p", "--int8-force"], "omit --int8-force"),
        (["--predictions", "p", "--int8-frames", "video.mp4"], "omit --int8-frames"),
        (["--weights", "shipped", "--kind", "disparity"], "--kind disparity: says what --predictions are"),
        (["--predictions", "p", "--split", "train"], "no split 'train' was prepared"),
        (["--predictions", "p", "--near", "9", "--far", "3"], "--near: 9.0 must be less than"),
        (["--predictions", "p", "--max-length", "-1"], "--max-len: -1"),
        (["--predictions", "nowhere"], "nowhere: no such folder of predictions"),
        (["--weights", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(data), "-o", "out", *words]) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_data_is_one_line(tmp_path, capsys):
    code = main(["evaluate", str(tmp_path), "--predictions", "p", "-o", str(tmp_path / "out")])
    assert code == EXIT_USER_ERROR
    assert "no prepared data set" in capsys.readouterr().err


def test_a_configuration_runs_the_same_job(data, predictions, tmp_path):
    section = EvaluateConfig(path=str(data), predictions=str(predictions), per_frame=True, max_len=3)
    assert evaluate.run_config(Config(job="evaluate", evaluate=section), tmp_path / "out") == EXIT_OK
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["overall"]["frames"] == 6
    assert results["alignment"] == {"rule": "scale_shift", "per_frame": True}


@pytest.mark.slow
def test_a_checkpoint_with_a_pose_network_end_to_end(data, tmp_path, capsys):
    from flax import nnx

    from endodav_jax.checkpoints import Card, save_model
    from endodav_jax.models.layers import Numerics
    from endodav_jax.models.pose import IntrinsicsHead, PoseNet
    from tests.inference.networks import small_config, small_params

    motion = {
        "pose": PoseNet(nnx.Rngs(0), layers=10, numerics=Numerics.of("float32")),
        "intrinsics": IntrinsicsHead(nnx.Rngs(0), layers=10),
    }
    params = {name: nnx.to_pure_dict(nnx.split(network)[1]) for name, network in motion.items()}
    params["depth"] = small_params("endodav")
    weights, out = tmp_path / "weights", tmp_path / "out"
    save_model(weights, small_config("endodav"), params, Card(what="random networks", licence="none"))
    assert main(["evaluate", str(data), "--weights", str(weights), "-o", str(out), "--windows", "vda"]) == EXIT_OK
    printed = capsys.readouterr().out
    assert "random networks" in printed
    assert "windows aligned by the rule: vda" in printed
    assert "ATE mm" in printed
    results = json.loads((out / "results.json").read_text())
    for sequence, length in LENGTHS.items():
        scores = results["sequences"][sequence]
        assert 0 < scores["abs_rel"] < 10
        assert scores["ate"] >= 0
        assert len(scores["intrinsics"]["predicted"]) == 4
        lines = (out / "trajectories" / f"{sequence.replace('/', '_')}.txt").read_text().splitlines()
        assert len(lines) == 1 + length
    assert "Camera motion" in (out / "report.html").read_text()
