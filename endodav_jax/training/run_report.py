"""The report of a run: losses, health of the depth, gradients and validation, as one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.report import Section, definitions, images, lines, text, write_report
from endodav_jax.report.page import Block
from endodav_jax.report.pictures import small
from endodav_jax.training import flow_objective, health
from endodav_jax.training.logs import METRICS_FILE, PICTURES_FOLDER, last_of_each_step, read_metrics

_POINTS = 200  # maximum per curve; longer curves are averaged to keep the page small
_PICTURE = 900  # length of the picture's longer side in pixels
_HEALTHY = (
    "Depth is healthy if relief is preserved, median depth drifts slowly, almost none of the output is 0, and the "
    "camera moves by a small fraction of the depth.  A loss that falls with relief or median depth is no progress."
)


def write_run_report(workdir: Path, title: str, about: Mapping[str, object]) -> None:
    """Writes `workdir/report.html` from the logs so far.

    Args:
      workdir: the run's folder.
      title: title of the page.
      about: fields and values of the configuration.

    Raises:
      UserError: it cannot be written.
    """
    logged = read_metrics(workdir / METRICS_FILE)
    steps, validated = (last_of_each_step(logged, kind) for kind in ("train", "validation"))
    sections = [
        Section(
            "Losses",
            [
                _chart(steps, ["loss", *_named(steps, "loss/loss_", "/0")], "Depth, camera and brightness", "loss"),
                _chart(steps, [f"{flow_objective.PREFIX}loss"], "Optical flow", "loss"),
            ],
        ),
        Section(
            "Health of the depth",
            [
                text(_HEALTHY),
                _chart(steps, [health.DRIFT, health.RELIEF_KEPT], "Median depth and relief", "relative to the start"),
                _chart(steps, [health.ZERO_SHARE], "Output equal to 0", "fraction of pixels"),
                _chart(steps, [health.TRANSLATION], "Camera translation per frame", "median depths"),
            ],
        ),
    ]
    if validated:
        shown = [_chart(validated, [name], name, name) for name in ("abs_rel", "rmse", "tae")]
        sections.append(Section("Validation", shown))
    sections.append(
        Section("Gradients", [_chart(steps, _named(steps, "gradient_norm/"), "Norms before clipping", "norm")])
    )
    pictures = sorted((workdir / PICTURES_FOLDER).glob("*.png"))
    if pictures:
        newest = small(np.asarray(Image.open(pictures[-1]).convert("RGB")), _PICTURE)
        sections.append(Section("The newest picture", [images([[newest]], [pictures[-1].name])]))
    sections.append(Section("Configuration", [definitions(about, "every field")]))
    write_report(workdir / "report.html", title, sections)


def _named(logged: Sequence[dict], start: str, end: str = "") -> list[str]:
    names = {name for line in logged for name, value in line.items() if name.startswith(start) and value}
    return sorted(name for name in names if name.endswith(end))


def _chart(logged: Sequence[dict], names: Sequence[str], title: str, unit: str) -> Block:
    """Returns the curves logged under these names, or a note if there are none."""
    curves = {}
    for name in names:
        points = np.array([(line["step"], line[name]) for line in logged if name in line], np.float64).reshape(-1, 2)
        points = points[np.isfinite(points).all(1)]
        if len(points):
            parts = np.array_split(points, min(_POINTS, len(points)))
            steps, values = np.stack([part.mean(0) for part in parts]).T
            curves[_plain(name)] = steps, values
    if curves:
        return lines(curves, title, "step", unit)
    return text(f"{title}: {'not part of this run' if logged else 'nothing logged yet'}.")


def _plain(name: str) -> str:
    """The name of a curve for a reader: `loss/loss_brightness_smoothness/0` is `brightness smoothness`."""
    name = name.removeprefix(health.PREFIX).removeprefix("loss/loss_").removesuffix("/0")
    return name.removeprefix(flow_objective.PREFIX).removeprefix("gradient_norm/").replace("_", " ")
