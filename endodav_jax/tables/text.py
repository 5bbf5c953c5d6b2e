"""A table for the terminal: our figures above the paper's, with remarks below."""

from collections.abc import Sequence

from endodav_jax.plain_table import plain_table
from endodav_jax.tables.given import WHERE
from endodav_jax.tables.rows import DATA_NAMES, Table
from endodav_jax.tables.run import Outcome

# Our name for a column -> its heading and number of decimals, as in the paper.
COLUMNS: dict[str, tuple[str, int]] = {
    "abs_rel": ("abs rel", 3),
    "sq_rel": ("sq rel", 3),
    "rmse": ("RMSE", 3),
    "rmse_log": ("RMSE log", 3),
    "a1": ("d<1.25", 3),
    "tae": ("TAE", 2),
    "total": ("total M", 1),
    "trainable": ("trained M", 2),
    "milliseconds": ("ms/frame", 1),
}


def cells(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Returns the header and, for each row, our figures and the paper's, as text; `-` for missing figures."""
    lines = [["data", "method", "", *(head for head, _ in COLUMNS.values())]]
    for outcome in outcomes:
        row = outcome.row
        for whose, figure in (("ours", outcome.figures.get), ("paper", row.paper.value)):
            first = [DATA_NAMES[row.data], row.method] if whose == "ours" else ["", ""]
            shown = [_text(figure(name), digits) for name, (_, digits) in COLUMNS.items()]
            lines.append([*first, whose, *shown])
    return lines


def table_text(table: Table, outcomes: Sequence[Outcome]) -> str:
    """Returns the whole table with the lines below it."""
    below = remarks(outcomes)
    body = plain_table(cells(outcomes), left=3, rule=True)
    return "\n".join([table.title, "", *body, *([""] if below else []), *below])


def remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """Returns remarks: the evaluation data, what was omitted and why, and where to get missing inputs."""
    lines = []
    if any(outcome.about.get("phantom") for outcome in outcomes):
        lines.append("ours on phantoms instead of the data sets: this tests the command, not the method")
    for data, name in DATA_NAMES.items():
        run = [outcome for outcome in outcomes if outcome.figures and outcome.row.data == data]
        if run:
            about = run[0].about
            lines.append(
                f"{name}: list {about['split']}, {about['sequences']} sequences, {about['frames']} frames; predictions "
                "aligned by median and mean deviation, once per sequence"
            )
    for device in sorted({outcome.about["device"] for outcome in outcomes if outcome.figures}):
        lines.append(f"ms/frame: ours on {device}, for a long video; the paper's on its authors' machine")
    presets = {outcome.about["preset"] for outcome in outcomes if outcome.figures} - {"vitb"}
    if presets:
        lines.append(f"ours with the backbone {', '.join(sorted(presets))}, the paper's with vitb")
    for outcome in outcomes:
        lines += [f"{outcome.row.name}: {sequence}: {why}" for sequence, why in outcome.failures.items()]
        if outcome.reason:
            lines.append(f"not run: {outcome.row.name}: {outcome.reason}")
    missing = {option for outcome in outcomes for option in outcome.missing}
    lines += [f"--{option}: {text}" for option, text in WHERE.items() if option in missing]
    return lines + list(dict.fromkeys(line for outcome in outcomes for line in (*outcome.left_out, *outcome.notes)))


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
