"""Logs of a run: scalars as JSONL and TensorBoard, pictures as TensorBoard and PNG.

They can be read without this package: `metrics.jsonl` has one JSON object per line, with null for numbers that are not
finite; `pictures/` contains PNG files.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

with warnings.catch_warnings():  # its protobuf stubs warn on import
    warnings.simplefilter("ignore")
    from tensorboardX import SummaryWriter

from endodav_jax.files import json_text, make_folder, whole_file

METRICS_FILE = "metrics.jsonl"
PICTURES_FOLDER = "pictures"
# The objective uses the published program's names of the losses; this maps unclear names to those used in logs.
_LOGGED_AS = {"loss_cvt": "loss_brightness_smoothness"}


class RunLog:
    """Writes to a run's folder; append-only, so a resumed run continues the same files.

    Args:
      folder: the run's folder.
      enabled: false on every process except the first, where all calls do nothing.
    """

    def __init__(self, folder: Path, enabled: bool = True):
        self._folder = folder
        self._enabled = enabled
        if enabled:
            make_folder(folder)
            path = folder / METRICS_FILE
            unfinished = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")  # left by a killed run
            self._jsonl = open(path, "a", buffering=1)  # noqa: SIM115 - closed in __exit__
            self._jsonl.write("\n" if unfinished else "")
            self._board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._enabled:
            self._jsonl.close()
            self._board.close()

    def scalars(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Writes one line `{"step": ..., "kind": ..., NAME: value, ...}` and one TensorBoard scalar per value.

        Values that are not finite, as of a step that was skipped, are null.
        """
        if not self._enabled:
            return
        values = {_logged_as(name): float(value) for name, value in values.items()}
        self._jsonl.write(json_text({"step": step, "kind": kind} | values, indent=None))
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def holds(self, step: int, kind: str) -> bool:
        """Returns whether a line of this kind was written for a step, by this run or the one that it resumes."""
        return self._enabled and any(
            (line["step"], line["kind"]) == (step, kind) for line in read_metrics(self._folder / METRICS_FILE)
        )

    def first(self, kind: str) -> dict:
        """Returns the line of this kind for the earliest step; empty if there is none."""
        lines = last_of_each_step(read_metrics(self._folder / METRICS_FILE), kind) if self._enabled else []
        return lines[0] if lines else {}

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes one picture, uint8 [H,W,3], as `pictures/<name>_<step>.png` and to TensorBoard."""
        if not self._enabled:
            return
        folder = self._folder / PICTURES_FOLDER
        folder.mkdir(exist_ok=True)
        with whole_file(folder / f"{name}_{step:07d}.png") as part:
            Image.fromarray(image).save(part)
        self._board.add_image(name, image, step, dataformats="HWC")


def read_metrics(path: Path) -> list[dict]:
    """Returns the lines of a run's `metrics.jsonl`, without lines truncated when a run was killed; null is NaN.

    A run that resumed from a checkpoint logged some steps again; see `last_of_each_step`.
    """
    lines = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            lines.append({name: math.nan if value is None else value for name, value in line.items()})
    return lines


def last_of_each_step(logged: Sequence[dict], kind: str) -> list[dict]:
    """Returns the lines of one kind by increasing step; of a step that was logged again, the later line."""
    return [line for _, line in sorted({line["step"]: line for line in logged if line["kind"] == kind}.items())]


def _logged_as(name: str) -> str:
    return "/".join(_LOGGED_AS.get(part, part) for part in name.split("/"))
