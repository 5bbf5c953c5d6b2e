"""The notebook runs from its first cell to its last, at small size."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"
SMALLER = {
    "frames=24": "frames=6, frames=12, every=1, height=64, width=64",
    "steps=20": "steps=1",
    "resize((3 * 384, 288))": "resize((192, 64))",
    "config = endodav_jax.read_config": "config = small(endodav_jax.read_config",
    '("quickstart")': '("quickstart"))',
}


def small(config):
    """The configuration at a size that compiles and runs quickly."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, image_shape=(28, 28)),
        data=dataclasses.replace(config.data, batch_size=1, clip_length=2, frame_max_interval=1),
    )


def cells() -> list[str]:
    """The cells of code, in order."""
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_pages_that_it_names_are_there():
    text = "".join("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"])
    links = re.findall(r"\]\((\w+\.md)\)", text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(cells())
    for part, smaller in SMALLER.items():
        assert code.count(part) == 1, part
        code = code.replace(part, smaller)
    known: dict = {"small": small}
    exec(compile(code, str(NOTEBOOK), "exec"), known)
    assert re.search(r"abs rel 0\.\d+ before, 0\.\d+ after", capsys.readouterr().out)
    assert known["after"].shape == known["true_depth"].shape
    assert (tmp_path / "first_steps" / "run" / "report.html").is_file()
