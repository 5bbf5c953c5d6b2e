"""The rows are the paper's, and each asks for what it needs and for nothing else."""

from pathlib import Path

import pytest

from endodav_jax.tables.given import Given, missing_options
from endodav_jax.tables.recipes import SmallRun, training_sections
from endodav_jax.tables.rows import TABLES
from endodav_jax.training import published_runs

VDA, ENDODAC, ENDODAV, ON_HAMLYN = (TABLES["table1"].rows[number] for number in (0, 1, 2, 5))
HERE = Path()


def test_the_methods_run_as_they_were_published():
    assert [(row.name, row.network, row.windows) for row in TABLES["table1"].rows[:3]] == [
        ("VDA on SCARED", "vda", "vda"),
        ("EndoDAC on SCARED", "endodac", "none"),
        ("EndoDAV on SCARED", "endodav", "endodav"),
    ]
    assert [row.network for row in TABLES["table1"].rows[3:]] == [row.network for row in TABLES["table1"].rows[:3]]


def test_the_ablation_leaves_out_one_thing_each():
    switched = [(row.network, row.windows) for row in TABLES["table2"].rows]
    without, full = "endodav_without_projection", "endodav"
    assert switched == [(without, "none"), (full, "none"), (without, "endodav"), (full, "endodav")]


def test_the_whole_method_is_the_same_row_in_both_tables():
    both = TABLES["table2"].rows[3]
    assert (both.network, both.data, both.windows) == (ENDODAV.network, ENDODAV.data, ENDODAV.windows)
    assert (both.paper.abs_rel, both.paper.tae) == (ENDODAV.paper.abs_rel, ENDODAV.paper.tae)


@pytest.mark.parametrize(
    ("row", "given", "missing"),
    [
        (VDA, Given(), ("scared", "vda")),
        (VDA, Given(vda=HERE, scared=HERE), ()),
        (ENDODAV, Given(scared=HERE), ("vda",)),
        (ENDODAV, Given(scared=HERE, endodav=HERE), ()),
        (ENDODAC, Given(scared=HERE, depth_anything=HERE), ()),
        (ON_HAMLYN, Given(hamlyn=HERE, vda=HERE), ("scared",)),  # to train on
        (ON_HAMLYN, Given(hamlyn=HERE, endodav=HERE), ()),
        (TABLES["table2"].rows[0], Given(scared=HERE, endodav=HERE), ("vda",)),
    ],
)
def test_a_row_misses_what_it_cannot_be_run_without(row, given, missing):
    assert missing_options(row, given) == missing


def test_rows_are_trained_by_the_published_settings():
    for network, expected in (
        ("endodav", published_runs.endodav("vits")),
        ("endodav_without_projection", published_runs.endodav("vits", projection=False)),
        ("endodac", published_runs.endodac("vits")),
    ):
        sections = training_sections(network, "vits", None, "float32")
        assert (sections["model"], sections["data"]) == (expected["model"], expected["data"])
        assert (sections["train"].phases, sections["train"].objective) == (
            expected["train"].phases,
            expected["train"].objective,
        )
        assert (sections["train"].epochs, sections["train"].steps) == (20, 0)


def test_a_phantom_changes_sizes_and_keeps_what_the_rows_compare():
    size = SmallRun(steps=3)
    rows = {
        name: training_sections(name, "vitt", size, "float32")
        for name in ("endodav", "endodav_without_projection", "endodac")
    }
    assert {sections["train"].steps for sections in rows.values()} == {3}
    weights = [sections["train"].objective.projection_weight for sections in rows.values()]
    assert weights[0] > 0
    assert weights[1] == 0
    assert (rows["endodav"]["data"].clip_length, rows["endodac"]["data"].clip_length) == (size.clip_length, 1)
    assert rows["endodac"]["model"].family == "endodac"
