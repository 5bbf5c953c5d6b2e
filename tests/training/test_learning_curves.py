"""`tools/learning_curves.py` draws the validation errors of several runs, and names a run that has none."""

import json
import runpy
from pathlib import Path

import pytest

draw = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "learning_curves.py"))["main"]


def run(folder: Path, errors: dict[int, float]) -> Path:
    folder.mkdir()
    logged = [{"step": step, "kind": "validation", "abs_rel": error} for step, error in errors.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in logged))
    return folder


def test_each_run_has_a_curve_through_what_it_validated(tmp_path):
    runs = [run(tmp_path / "first", {0: 0.15, 25: 0.125, 50: 0.11}), run(tmp_path / "second", {0: 0.14})]
    draw(runs, tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text()
    assert "first" in page
    assert "second" in page
    first, second, *_ = page.split("<polyline points=")[1:]
    assert len(first.split('"')[1].split()) == 3
    assert len(second.split('"')[1].split()) == 1


def test_a_run_without_validation_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"empty: has no validation .*; set --config\.train\.validation_path"):
        draw([run(tmp_path / "empty", {})], tmp_path / "curves.html")
    assert not (tmp_path / "curves.html").exists()
