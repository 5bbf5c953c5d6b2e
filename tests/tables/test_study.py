"""`endodav reproduce study`: the paper's rows on rendered patients, and what is said of them."""

import json

import numpy as np
import pytest

from endodav_jax.cli import main
from endodav_jax.config import read_config
from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR, UserError
from endodav_jax.evaluation.evaluate import Results
from endodav_jax.report.evaluation import SHOWN
from endodav_jax.tables import study
from endodav_jax.tables.study import ROWS, study_cells, trained_config
from endodav_jax.training.checks import check_config
from endodav_jax.training.initial import trained_groups
from tests.quick_compilation import printed_by

PROGRAM = "tests.tables.small_study"


def figures(abs_rel: float, tae: float) -> dict:
    return dict.fromkeys(SHOWN, 0.5) | {"abs_rel": abs_rel, "tae": tae}


def test_a_row_gives_mean_and_deviation_and_its_change_against_the_first_of_the_same_seed():
    head, first, second = study_cells({
        "before": [figures(0.2, 2.0), figures(0.1, 4.0)],
        "after": [figures(0.1, 1.0), figures(0.08, 1.0)],
    })  # fmt: skip
    assert head[-2:] == ["abs rel, change", "TAE, change"]
    assert first[1] == "0.150 (0.071)"
    assert first[-2:] == ["-", "-"]
    assert second[1] == "0.090 (0.014)"
    assert second[-2:] == ["-35 (21)%", "-62 (18)%"]


def test_one_seed_has_no_deviation():
    _, first, second = study_cells({"before": [figures(0.2, 2.0)], "after": [figures(0.1, 1.0)]})
    assert (first[1], second[1], second[-1]) == ("0.200", "0.100", "-50%")


@pytest.mark.parametrize("network", sorted({row.network for row in ROWS.values()} - {"vda"}))
def test_every_row_of_the_study_can_be_trained_and_sees_as_many_frames_a_step(network):
    config = read_config("phantom_study")
    row = trained_config(config, network)
    check_config(row)
    assert trained_groups(row)
    assert row.data.clip_length * row.data.batch_size == config.data.clip_length * config.data.batch_size
    assert row.train.steps == config.train.steps
    assert row.train.objective.camera == config.train.objective.camera
    assert (row.train.objective.projection_weight > 0) == (network != "endodav_without_projection")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds: 0 must be at least 1"),
        (["--phantom"], "study: renders its own videos"),
        (["--scared", "."], "study: renders its own videos"),
        (
            ["--config", "finetune_own"],
            "--config finetune_own: does not train weights that it names on rendered videos",
        ),
        (["--config", "evaluate"], "--config evaluate: does not train weights"),
        (["--config", "nowhere"], "nowhere"),
    ],
)
def test_what_the_study_cannot_take_is_refused_in_one_line(options, message, tmp_path, capsys):
    assert main(["reproduce", "study", "-o", str(tmp_path), *options]) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_table_of_the_paper_takes_no_configuration(tmp_path, capsys):
    assert main(["reproduce", "table1", "-o", str(tmp_path), "--config", "quickstart"]) == EXIT_USER_ERROR
    assert (
        capsys.readouterr().err == "endodav reproduce: --config quickstart: is for study; table1 trains as published\n"
    )
    assert main(["reproduce", "table1", "-o", str(tmp_path), "--seeds", "5"]) == EXIT_USER_ERROR
    assert "--seeds 5: is for study" in capsys.readouterr().err


def test_the_study_takes_a_configuration_by_name_and_by_file(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("endodav_jax.tables.study.study", lambda config, seeds, workdir: taken.append(config) or 0)
    own = tmp_path / "own.py"
    own.write_text(
        "from endodav_jax.config import load_config_file as read\n"
        "def get_config():\n    config = read('phantom_study')\n    config.train.steps = 7\n    return config\n"
    )
    for name in ("phantom_study_192x256", str(own)):
        assert main(["reproduce", "study", "-o", str(tmp_path), "--config", name]) == EXIT_OK
    larger, shorter = taken
    assert (larger.data.phantom.height, shorter.train.steps) == (192, 7)


@pytest.mark.parametrize("name", ["phantom_study", "phantom_study_192x256"])
def test_every_row_is_measured_for_every_seed(tmp_path, monkeypatch, capsys, name):
    class Patient:
        def __init__(self, config, seed, workdir):
            self.seed = seed

        def figures(self, name, row):
            return figures(0.1 + 0.01 * self.seed, 1.0)

    monkeypatch.setattr("endodav_jax.tables.study._Patient", Patient)
    assert main(["reproduce", "study", "-o", str(tmp_path), "--config", name, "--seeds", "2"]) == EXIT_OK
    rows = json.loads((tmp_path / "study.json").read_text())["rows"]
    assert {row: len(found) for row, found in rows.items()} == dict.fromkeys(ROWS, 2)
    assert "0.105 (0.007)" in capsys.readouterr().out


def trainings(printed: str) -> int:
    return sum(line.startswith("training ") for line in printed.splitlines())


@pytest.mark.slow
@pytest.mark.long
def test_every_row_is_trained_measured_and_found_again(tmp_path):
    printed = printed_by(PROGRAM, tmp_path)
    rows = json.loads((tmp_path / "study.json").read_text())["rows"]
    assert list(rows) == list(ROWS)
    assert all(np.isfinite(found[0][name]) for found in rows.values() for name in SHOWN)
    # So small a video loses the camera, and steadying leaves its depth as it was.
    published = [name for name, row in ROWS.items() if not row.steady]
    assert len({rows[name][0]["abs_rel"] for name in published}) == len(published)
    assert (tmp_path / "study.txt").read_text() in printed
    assert "<table" in (tmp_path / "study.html").read_text()
    assert trainings(printed) == 3
    assert trainings(printed_by(PROGRAM, tmp_path)) == 0
    assert json.loads((tmp_path / "study.json").read_text())["rows"] == rows


def test_figures_without_a_sequence_that_failed_are_neither_given_nor_kept(tmp_path, monkeypatch):
    config = read_config("phantom_study")
    failed = Results((), {"organ_s0_0001": "no frame has a valid pixel"}, "EndoDAV", config.evaluate)
    monkeypatch.setattr(study, "load_model", lambda _: (config.model, {"depth": {}}, None))
    monkeypatch.setattr(study, "DepthEstimator", lambda *_: None)
    monkeypatch.setattr(study, "evaluate_network", lambda *_, **__: failed)
    patient = object.__new__(study._Patient)
    patient.config, patient.seed, patient.workdir, patient.videos = config, 0, tmp_path, None
    patient._weights = lambda network: ("weights", {})
    with pytest.raises(UserError, match="organ_s0_0001: no frame has a valid pixel"):
        patient.figures("EndoDAV", ROWS["EndoDAV"])
    assert not list(tmp_path.rglob("*.json"))
