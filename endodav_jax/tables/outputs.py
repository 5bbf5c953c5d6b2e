"""A table as files: text, JSON and one page of HTML."""

from collections.abc import Sequence
from pathlib import Path

from endodav_jax.evaluation.evaluate import versions
from endodav_jax.files import json_text, whole_file
from endodav_jax.report import Section, definitions, table, text, write_report
from endodav_jax.tables.rows import Table
from endodav_jax.tables.run import Outcome
from endodav_jax.tables.text import cells, remarks


def write_outputs(folder: Path, rows: Table, outcomes: Sequence[Outcome], printed: str) -> tuple[Path, ...]:
    """Writes `NAME.txt`, `NAME.json` and `NAME.html` to a folder, replacing existing ones; returns their paths.

    Raises:
      UserError: they cannot be written.
    """
    paths = tuple(folder / f"{rows.name}.{suffix}" for suffix in ("txt", "json", "html"))
    contents = {
        "table": rows.name,
        "title": rows.title,
        "rows": [outcome.to_json() for outcome in outcomes],
        "remarks": remarks(outcomes),
        "versions": versions(),
    }
    for path, words in zip(paths, (printed, json_text(contents)), strict=False):
        with whole_file(path) as part:
            part.write_text(words.rstrip("\n") + "\n", encoding="utf-8")
    write_report(paths[-1], rows.title, _sections(outcomes))
    return paths


def _sections(outcomes: Sequence[Outcome]) -> list[Section]:
    head, *lines = cells(outcomes)
    rows = []
    for number, (_, _, whose, *figures) in enumerate(lines):
        rows.append([f"{outcomes[number // 2].row.name}: {whose}", *figures])
    ours = range(0, len(rows), 2)
    sections = [
        Section("Our results and the paper's", [table(["", *head[3:]], rows, strong=ours)]),
        Section("Remarks", [text(*remarks(outcomes))]),
    ]
    run = [outcome for outcome in outcomes if outcome.figures]
    if run:
        blocks = [definitions(outcome.about, outcome.row.name) for outcome in run]
        sections.append(Section("Rows", blocks))
    return [*sections, Section("Versions", [definitions(versions())])]
