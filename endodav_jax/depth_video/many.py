"""Depth from many recordings in sequence, with a network that is loaded and compiled once."""

import dataclasses
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.passes import SteadyOf
from endodav_jax.depth_video.recordings import Recording, Recordings, identity_of
from endodav_jax.depth_video.run import Done, infer_recording
from endodav_jax.depth_video.weights import NamedWeights, load_estimator
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USER_ERROR, UserError
from endodav_jax.plain_table import plain_table
from endodav_jax.video.recognise import META_SUFFIX

_NOT_THE_RESULT = ("input", "overwrite", "quiet", "verbose")  # settings that do not affect the outputs


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome for one recording.

    Attributes:
      state: `done`, `done before`, `cut short` (frames before the damage are kept) or `failed`.
      frames: number of frames.
      seconds: time for inference.
      reason: why it failed or was cut short.
    """

    state: str
    frames: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the recording is complete."""
        return self.state in ("done", "done before")


def infer_many(
    config: InferConfig, recordings: Recordings, folder: Path, weights: str = "", steady_of: SteadyOf | None = None
) -> int:
    """Processes every recording into its own folder; a failure is reported in one line and the others continue.

    Recordings that are already done with the same settings are skipped; rerun the same command to resume.

    Args:
      config: as for one recording; `input` is ignored.
      recordings: the recordings and the names of their folders.
      folder: parent of these folders.
      weights: a checkpoint, or published weights; empty for the network shipped with the package (reported).
      steady_of: for `config.steady`; see `passes.write_depth`.

    Returns:
      `EXIT_OK`, `EXIT_SOME_FAILED` if a recording failed or was cut short, or `EXIT_USER_ERROR` if all failed.

    Raises:
      UserError: invalid weights, or settings that only work with a single recording.
    """
    if config.masks not in ("auto", "none"):
        raise UserError(f"--masks {config.masks}: there are several inputs; put masks beside each one")
    if config.scale and config.scale != ("stereo",):
        raise UserError(f"--scale {' '.join(config.scale)}: belongs to one recording, and there are several inputs")
    for note in () if config.quiet else recordings.notes:
        print(f"endodav infer: {note}", file=sys.stderr)
    named = NamedWeights.of(weights)
    loaded: list = []

    def load():
        """The estimator, loaded when the first recording needs it."""
        if not loaded:
            try:
                loaded.append(load_estimator(weights, config))
            except UserError as error:
                raise _OfAll(str(error)) from error
        return loaded[0]

    outcomes: list[Outcome] = []
    started = time.perf_counter()
    for number, recording in enumerate(recordings.found):
        if not config.quiet:
            print(_heading(number, len(recordings.found), recording, outcomes, started), file=sys.stderr, flush=True)
        one = dataclasses.replace(config, input=recording.input)
        outcomes.append(_outcome(one, recording, folder / recording.name, named, load, steady_of))
        if not outcomes[-1].good:
            print(f"endodav infer: {outcomes[-1].reason}", file=sys.stderr, flush=True)
    if not config.quiet:
        print("\n".join(_table(recordings.found, outcomes)))
    if all(outcome.good for outcome in outcomes):
        return EXIT_OK
    return EXIT_USER_ERROR if all(outcome.state == "failed" for outcome in outcomes) else EXIT_SOME_FAILED


class _OfAll(Exception):
    """An error in something that all recordings need, such as the weights: processing cannot continue."""


def _outcome(
    config: InferConfig,
    recording: Recording,
    folder: Path,
    weights: NamedWeights,
    load: Callable,
    steady_of: SteadyOf | None,
) -> Outcome:
    name = recording.input
    try:
        if recording.fault:
            return Outcome("failed", reason=f"{name}: {recording.fault}")
        before = None if config.overwrite else _made_before(config, folder, weights)
        if before is not None:
            return before
        return _of_done(infer_recording(config, folder, weights, load, steady_of), name)
    except _OfAll as error:
        raise UserError(str(error)) from error
    except UserError as error:
        told = str(error)
        return Outcome("failed", reason=told if name in told else f"{name}: {told}")
    except Exception as error:  # a bug must not prevent the remaining recordings from being processed
        traceback.print_exc()
        return Outcome("failed", reason=f"{name}: a bug in this program ({type(error).__name__}); see above")


def _of_done(done: Done, name: str) -> Outcome:
    if done.stopped is None:
        return Outcome("done", done.frames, done.seconds)
    kept = f"depth of the {done.frames} frames before this is in {done.folder}"
    return Outcome("cut short", done.frames, done.seconds, f"{name}: {done.stopped}; {kept}")


def _made_before(config: InferConfig, folder: Path, weights: NamedWeights) -> Outcome | None:
    """Returns the complete result of an earlier run, or None if there is none.

    Raises:
      UserError: it was made with other settings or weights, or its description cannot be read.
    """
    from endodav_jax.checkpoints.shipped import WITHOUT_WEIGHTS

    found = sorted(folder.glob(f"*{META_SUFFIX}"))
    if not found:
        return None
    try:
        about = json.loads(found[0].read_text())
        settings, frames, stopped = about["settings"], int(about["frames"]), about["stopped"]
        known = {name: about["input"][name] for name in ("bytes", "digest") if name in about["input"]}
        missing = [name for name in about["files"].values() if not (folder / name).exists()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{found[0]}: cannot be read; pass --overwrite to process it again") from error
    wanted = json.loads(json.dumps(dataclasses.asdict(config)))
    other = [key for key in wanted if key not in _NOT_THE_RESULT and settings.get(key, wanted[key]) != wanted[key]]
    # Earlier versions left the default weights without a name.
    other += ["weights"] if (about.get("weights") or WITHOUT_WEIGHTS) != weights.name else []
    if other:
        names = ", ".join("--" + key.replace("_", "-") for key in other)
        raise UserError(f"{folder}: was made with other settings ({names}); pass --overwrite, or name another folder")
    now = identity_of(config.input)
    if any(now[name] != value for name, value in known.items()):  # results of earlier versions know less
        raise UserError(
            f"{folder}: was made from another recording ({settings.get('input', '')}, {known.get('bytes')} bytes) than "
            f"{config.input}; pass --overwrite, or name another folder"
        )
    # Nothing can be said of weights that are gone, or of results from before digests were kept.
    if weights.sha256 and about.get("weights_sha256", "") not in ("", weights.sha256):
        raise UserError(
            f"{folder}: {weights.name} has changed since it was made; pass --overwrite, or name another folder"
        )
    if missing:
        raise UserError(f"{folder / missing[0]}: missing from the earlier result; pass --overwrite")
    if stopped:
        return Outcome("cut short", frames, reason=f"{config.input}: {stopped} (as before)")
    return Outcome("done before", frames)


def _heading(number: int, count: int, recording: Recording, outcomes: list[Outcome], started: float) -> str:
    worked = sum(outcome.state != "done before" for outcome in outcomes)
    left = ""
    if worked:
        minutes = (time.perf_counter() - started) / worked * (count - number) / 60
        left = f" (about {minutes:.0f} min left)" if minutes >= 1 else " (less than a minute left)"
    return f"[{number + 1}/{count}] {recording.input}{left}"


def _table(recordings: tuple[Recording, ...], outcomes: list[Outcome]) -> list[str]:
    rows = [("recording", "outputs", "state", "frames", "frames/s")]
    for recording, outcome in zip(recordings, outcomes, strict=True):
        pace = f"{outcome.frames / outcome.seconds:.2f}" if outcome.seconds else "-"
        rows.append((recording.input, recording.name, outcome.state, str(outcome.frames or "-"), pace))
    counts = Counter(outcome.state for outcome in outcomes)
    return [*plain_table(rows, left=3, rule=True), ", ".join(f"{count} {state}" for state, count in counts.items())]
