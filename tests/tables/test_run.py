"""A row that cannot be measured is named with the cure, and the table shows the others beside the paper's."""

import dataclasses

from endodav_jax.errors import UserError
from endodav_jax.tables import run
from endodav_jax.tables.given import Given
from endodav_jax.tables.recipes import SmallRun
from endodav_jax.tables.rows import TABLES
from endodav_jax.tables.run import Outcome, run_table
from endodav_jax.tables.text import table_text

TABLE = TABLES["table1"]
FIGURES = {"abs_rel": 0.12345, "sq_rel": 2.0, "rmse": 11.0, "rmse_log": 0.2, "a1": 0.8, "tae": None} | {
    "total": 114.54, "trainable": 0.1915, "milliseconds": 20.04,
}  # fmt: skip
ABOUT = {"split": "test", "sequences": 8, "frames": 5907, "preset": "vits", "device": "a fast one"}


@dataclasses.dataclass
class Nothing:
    """RowInputs of which there are none."""

    given: Given = Given()
    size: SmallRun | None = None


def cells_of(text, whose, number=0):
    """The figures of the `number`th line of ours or of the paper's."""
    lines = [line for line in text.splitlines() if f" {whose} " in line]
    return lines[number].split(whose)[1].split()


def test_without_anything_every_row_says_what_it_needs():
    said = []
    outcomes = run_table(TABLE, Nothing(), said.append)
    assert [outcome.reason for outcome in outcomes][3:] == [
        "needs --hamlyn and --vda",
        "needs --scared and --hamlyn and --vda",
        "needs --scared and --hamlyn and --vda",
    ]
    assert len(said) == len(TABLE.rows)
    text = table_text(TABLE, outcomes)
    for word in ("agreement", "Endo-Depth-and-Motion", "video_depth_anything_vitb.pth", "CC-BY-NC-4.0"):
        assert word in text
    assert cells_of(text, "ours") == ["-"] * 9
    assert cells_of(text, "paper") == ["0.241", "7.702", "18.673", "0.287", "0.597", "1.10", "111.0", "-", "15.9"]


def test_rows_after_one_that_fails_are_measured(monkeypatch):
    def measure(row, inputs):
        if row.method == "EndoDAC":
            raise UserError("weights/endodac: is damaged")
        return Outcome(row, FIGURES, ABOUT)

    monkeypatch.setattr(run, "measure", measure)
    outcomes = run_table(TABLE, Nothing(size=SmallRun()), lambda line: None)
    assert [outcome.complete for outcome in outcomes] == [True, False, True] * 2
    text = table_text(TABLE, outcomes)
    assert "not run: EndoDAC on Hamlyn: weights/endodac: is damaged" in text
    assert cells_of(text, "ours", 2) == ["0.123", "2.000", "11.000", "0.200", "0.800", "-", "114.5", "0.19", "20.0"]
    for word in ("list test, 8 sequences, 5907 frames", "a fast one", "vits"):
        assert word in text


def test_a_sequence_that_fails_makes_its_row_incomplete():
    outcome = Outcome(TABLE.rows[0], FIGURES, ABOUT, failures={"dataset8/keyframe1": "has no depth"})
    assert not outcome.complete
    assert "VDA on SCARED: dataset8/keyframe1: has no depth" in table_text(TABLE, [outcome])


def test_a_remark_common_to_several_rows_stands_once():
    outcomes = [Outcome(row, FIGURES, ABOUT, notes=("said once",)) for row in TABLE.rows]
    assert table_text(TABLE, outcomes).count("said once") == 1


def test_phantoms_are_not_taken_for_the_data_sets():
    row = TABLE.rows[0]
    assert "instead of the data sets" in table_text(TABLE, [Outcome(row, FIGURES, ABOUT | {"phantom": True})])
    assert "instead of the data sets" not in table_text(TABLE, [Outcome(row, FIGURES, ABOUT)])
