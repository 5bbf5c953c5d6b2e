"""The validation errors of several runs over their steps, on one page.

python tools/learning_curves.py out/seed_0 out/seed_1 out/seed_2 -o curves.html

A run validates with `--config.train.validation_path`, or by itself on a phantom's held-out videos; how often is
`--config.train.validate_every`.  Curves are named by the runs' folders.
"""

import argparse
from pathlib import Path

import numpy as np

from endodav_jax.evaluation.sequence import TEMPORAL_ERRORS
from endodav_jax.report import Section, lines, write_report
from endodav_jax.training.logs import METRICS_FILE, last_of_each_step, read_metrics

SHOWN = {"abs_rel": "abs rel", TEMPORAL_ERRORS[0]: "TAE %"}


def main(runs: list[Path], out: Path) -> None:
    """Writes the page: a chart for each error, with a curve for each run.

    Raises:
      SystemExit: a run has validated nothing.
    """
    validated = {run: last_of_each_step(read_metrics(run / METRICS_FILE), "validation") for run in runs}
    for run, logged in validated.items():
        if not logged:
            raise SystemExit(f"{run}: has no validation in its {METRICS_FILE}; set --config.train.validation_path")
    charts = []
    for name, title in SHOWN.items():
        curves = {}
        for run, logged in validated.items():
            steps, errors = np.array([(line["step"], line.get(name, np.nan)) for line in logged]).T
            curves[run.name] = steps, errors
        charts.append(lines(curves, title, "step", title))
    write_report(out, "Learning curves", [Section("Validation", charts)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of training runs")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="HTML", help="the page to write")
    given = parser.parse_args()
    main(given.runs, given.output)
