"""int8 networks for OpenVINO: calibrated, evaluated as in `evaluate`, and refused if they lose too much accuracy.

int8 is not always beneficial: matrix products are slower on processors without int8 instructions, and the
coarse decoder loses accuracy.  Each part is therefore timed on this machine, and quantised only as far as this makes
it faster.  What is not quantised is computed in bfloat16 where the processor has it, in float32 elsewhere.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from endodav_jax.checkpoints.card import Card
from endodav_jax.choices import Precision
from endodav_jax.errors import UserError
from endodav_jax.export.export import digest_of_weights
from endodav_jax.export.manifest import MANIFEST_NAME, Manifest
from endodav_jax.export.onnx_file import OPSET
from endodav_jax.export.openvino_file import Quantised, quantise, require_nncf, require_openvino
from endodav_jax.export.sessions import open_session
from endodav_jax.files import sha256_of_arrays, whole_file
from endodav_jax.models import DepthModelConfig
from endodav_jax.process import cache_folder
from endodav_jax.runtimes.calibration import FRAMES, SEED, calibration_inputs, rendered_frames, video_frames
from endodav_jax.runtimes.choose import processor_has_bfloat16
from endodav_jax.runtimes.cost import Cost, cost_of
from endodav_jax.runtimes.exported import (
    ExportedNetwork,
    Tell,
    cached,
    cached_export,
    folder_suffix,
    network_digest,
    programs_digest,
    silent,
    use_of,
)

MOST_LOSS = 0.02  # maximum relative increase of abs rel
WORTH = 0.95  # of the float time; if int8 takes longer, it is not worth its rounding
TIMED = 5


class Int8Files:
    """Returns the files of a network's parts: in int8 if that is faster, otherwise unchanged.

    What is not in int8 is to be computed in `compute`, this processor's fastest type.

    A use (a video, a live source) is calibrated, timed and evaluated on first use, once for these weights, frames and
    this processor; the results are kept with the files.
    """

    def __init__(
        self, config: DepthModelConfig, params: dict, video: str = "", forced: bool = False, tell: Tell = silent
    ):
        """Takes a network with merged adapters, in float32 and on the host.

        Args:
          config: of the network.
          params: its weights.
          video: for calibration; empty for rendered frames.
          forced: use int8 regardless of its loss of accuracy.
          tell: takes a line for the user before something is written.

        Raises:
          UserError: OpenVINO or NNCF are missing, or the video cannot be read.
        """
        require_nncf("--precision int8")
        self.compute: Precision = "bfloat16" if processor_has_bfloat16() else "float32"
        self._config, self._forced, self._tell = config, forced, tell
        self._plain = cached_export(config, params, tell)
        self._frames = video_frames(video) if video else None
        self._digest, self._name = digest_of_weights(params), network_digest(config, params)
        self._prepared: dict[str, tuple[Path, Manifest]] = {}

    def __call__(self, part: str) -> Path:
        """The file of a part.

        Raises:
          UserError: abs rel grows by more than 2% in the part's use.
        """
        folder, about = self._prepare(use_of(part))
        return folder / about.parts[part] if part in about.parts else self._plain(part)

    def prepare(self, use: str) -> str:
        """Prepares the use and returns a line with the parts that are in int8 and the loss of accuracy.

        Raises:
          UserError: see `__call__`.
        """
        _, about = self._prepare(use if self._config.family_entry.windows else "frames")
        return "; ".join(about.card.notes)

    def _prepare(self, use: str) -> tuple[Path, Manifest]:
        if use not in self._prepared:
            folder = self._folder(use)
            about = cached(
                folder,
                lambda folder: self._write(use, folder),
                _cost,
                self._tell,
                "calibrating int8 and measuring its accuracy: some minutes, once for these weights",
            )
            cost = _cost(about)
            if cost.share > MOST_LOSS and not self._forced:
                raise UserError(f"--precision int8: {cost}, above {MOST_LOSS:.0%}; add --int8-force to use it anyway")
            self._prepared[use] = folder, about
        return self._prepared[use]

    def _write(self, use: str, folder: Path) -> None:
        """Quantises, times and evaluates, and writes files and manifest to the folder."""
        frames = rendered_frames() if self._frames is None else self._frames
        network = ExportedNetwork(self._config, self._plain, "openvino")
        with whole_file(folder, keep=True) as place:
            place.mkdir()
            files: dict[str, str] = {}
            notes = []
            for part, examples in calibration_inputs(network, frames, use).items():
                taken = quantised_where_faster(self._plain(part), place / f"{part}.xml", examples, self.compute)
                if taken:
                    files[part] = f"{part}.xml"
                notes.append(f"{part} {taken or f'stays {self.compute}, which is faster here'}")
            int8 = ExportedNetwork(
                self._config,
                lambda part: place / files[part] if part in files else self._plain(part),
                "openvino",
                self.compute,
            )
            cost = cost_of(use, network, int8)
            card = Card(
                "int8 parts of a cached network",
                "as of the weights",
                notes=(f"int8: {', '.join(notes)}", str(cost)),
                entries={"cost": dataclasses.asdict(cost), "calibration_frames": len(frames)},
            )
            about = Manifest("openvino", "int8", self._config, card, files, self._digest).of_files(place)
            (place / MANIFEST_NAME).write_text(about.to_text() + "\n")

    def _folder(self, use: str) -> Path:
        openvino = require_openvino("--precision int8")
        processor = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
        arrays = [("frame", np.ascontiguousarray(frame)) for frame in self._frames or ()]
        seen = sha256_of_arrays([(f"{processor} {FRAMES} rendered by {SEED}", np.zeros(0)), *arrays])[:16]
        name = f"int8-{self.compute}-{OPSET}-{programs_digest()}-{self._config.family}-{self._name}-{seen}"
        return cache_folder() / f"{name}-{folder_suffix(use)}"


def _cost(about: Manifest) -> Cost:
    """Returns the loss of accuracy that was measured; raises `UserError` if the manifest does not tell it."""
    try:
        return Cost(**cast(dict[str, Any], about.card.entries["cost"]))
    except (KeyError, TypeError) as error:
        raise UserError(f"{MANIFEST_NAME} of the cached int8 network: lacks its cost") from error


def quantised_where_faster(
    plain: Path, out: Path, examples: list[tuple[np.ndarray, ...]], compute: Precision
) -> Quantised | None:
    """Writes the part with as much in int8 as is fastest; None, without a file, if `compute` alone is fastest."""
    session = open_session(plain, "openvino", compute)
    best: tuple[float, Quantised | None] = (WORTH, None)
    for what in ("everything", "convolutions"):
        file = out.with_name(f"{out.stem}.{what}.xml")
        quantise(plain, file, examples, what)
        share = share_of_time(open_session(file, "openvino", compute), session, examples[-1])
        best = min(best, (share, what), key=lambda pair: pair[0])
    for what in ("everything", "convolutions"):
        for file in (out.with_name(f"{out.stem}.{what}{suffix}") for suffix in (".xml", ".bin")):
            if what == best[1]:
                file.rename(out.with_suffix(file.suffix))
            else:
                file.unlink()
    return best[1]


def share_of_time(run: Callable, other: Callable, arrays: tuple) -> float:
    """Ratio of the time of `run` to that of `other` on the same inputs, measured alternately."""
    seconds: dict[Callable, list[float]] = {run: [], other: []}
    for turn in range(TIMED + 1):
        for session, taken in seconds.items():
            started = time.perf_counter()
            session(*arrays)
            if turn:
                taken.append(time.perf_counter() - started)
    return min(seconds[run]) / min(seconds[other])
