"""`endodav evaluate`: errors of a network's depth, or of another method's predictions, on a prepared data set."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USER_ERROR
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.fields import spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Evaluates a network's depth, or another method's predictions, against ground truth.

    Attributes:
      output: folder for results.json, report.html and trajectories.
      weights: a checkpoint (see: endodav convert --help).
    """

    output: Annotated[Path, spelled("-o", metavar="FOLDER")]
    weights: str = ""
    evaluate: tyro.conf.OmitArgPrefixes[EvaluateConfig]


def run(command: Command) -> int:
    """Runs the job with the command-line arguments."""
    from endodav_jax.config import Config

    return run_config(Config(weights=command.weights, evaluate=command.evaluate), command.output)


def run_config(config: "Config", workdir: Path) -> int:
    """Evaluates, and prints the tables and the sequences that could not be evaluated.

    Returns:
      `EXIT_OK`, `EXIT_SOME_FAILED` if a sequence could not be evaluated, or `EXIT_USER_ERROR` if none could; each that
      could not is reported on stderr.
    """
    from endodav_jax.reconstruction.steady import correction_of
    from endodav_jax.report.evaluate import evaluate, results_text

    results = evaluate(config, workdir, correction_of(config.evaluate))
    if results.scores:
        print(results_text(results))
        print(f"\n{workdir}: results.json, report.html" + (", trajectories/" if results.motion else ""))
    for sequence, reason in results.failures.items():
        print(f"endodav evaluate: {sequence}: {reason}", file=sys.stderr)
    if not results.scores:
        kept = f"; {workdir} keeps those of an earlier run" if (workdir / "results.json").exists() else ""
        print(f"endodav evaluate: no sequence could be evaluated, so there are no results{kept}", file=sys.stderr)
        return EXIT_USER_ERROR
    return EXIT_SOME_FAILED if results.failures else EXIT_OK
