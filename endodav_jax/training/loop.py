"""A complete run of self-supervised training, which can be stopped and resumed at any step."""

import contextlib
import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from tqdm import tqdm

from endodav_jax.checkpoints import MODEL_FOLDER, Card, save_model
from endodav_jax.checkpoints.store import is_checkpoint, read_card
from endodav_jax.config import Config
from endodav_jax.data.builders.features import decode_record
from endodav_jax.data.config import DataConfig
from endodav_jax.data.pipeline import ClipBatches, check_one_size
from endodav_jax.data.prepared import PreparedSplit, digest_of_split
from endodav_jax.data.signal import Signal
from endodav_jax.data.signal_of import signal_of_split
from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, UserError
from endodav_jax.files import make_folder
from endodav_jax.models.groups import count_groups, table_lines, trained_and_total
from endodav_jax.models.training_networks import DEPTH_NETWORK
from endodav_jax.training import parallel
from endodav_jax.training.cameras import data_for, objectives_of
from endodav_jax.training.checks import check_config, check_frame_size
from endodav_jax.training.initial import check_weights, digest_of, initial_networks
from endodav_jax.training.logs import RunLog
from endodav_jax.training.partition import Groups, flatten, join_groups, names_of, unflatten
from endodav_jax.training.phases import phase_of_step, projects
from endodav_jax.training.pictures import panel
from endodav_jax.training.resume import changed_fields, check_arrays, check_changes, check_length, flat_fields
from endodav_jax.training.run_checkpoint import RunCheckpoints, open_run, shapes_of
from endodav_jax.training.run_report import write_run_report
from endodav_jax.training.step import PUBLISHED, Objectives, State, TrainStep, learning_rate_factor, new_state
from endodav_jax.training.validation import Validation, compared
from endodav_jax.training.watch import Watch

BEST_FOLDER = "model_best"  # in a run's folder: the networks with the lowest validation RMSE
_SCORES, _SETTINGS = "validation", "validation_settings"  # entries of its card


def train(config: Config, workdir: Path, objectives: Objectives = PUBLISHED) -> int:
    """Trains as configured and writes checkpoints, logs and, at the end, `workdir/model`.

    After each validation whose RMSE is the lowest so far, it writes `workdir/model_best`.  It resumes from an earlier
    run in `workdir`, whatever stopped it.  Several processes are connected before (`parallel`).

    Args:
      config: configuration of the run.
      workdir: the run's folder.
      objectives: the objectives of a step's updates.

    Returns:
      The exit code: `EXIT_PREEMPTED` if SIGTERM was received, after saving.

    Raises:
      UserError: the configuration is invalid or differs from that of the earlier run, or a loss or gradient is not
        finite.
    """
    check_config(config)
    parallel.check_batch_size(config.data.batch_size)
    check_weights(config)
    objectives = objectives_of(config.train.objective, objectives)
    make_folder(workdir)
    first = jax.process_index() == 0
    split = PreparedSplit.open(config.data.path, config.data.split)
    check_one_size(split)
    measured = signal_of_split(split) if first else None
    if measured is not None:  # before minutes are spent on the camera's path
        for line in _signal_lines(measured, config.data):
            print(line, flush=True)
    # The inputs for the camera are added to the batches; the run's record keeps the original configuration.
    data = data_for(objectives, config, workdir)
    with (
        ClipBatches(data, config.seed, jax.process_index(), jax.process_count(), measured) as batches,
        open_run(workdir / "checkpoints", config.train.keep_last) as checkpoints,
        RunLog(workdir, enabled=first) as log,
        _termination() as terminated,
    ):
        run = Run(config, batches, checkpoints, log, workdir, objectives)
        if first:
            print(run.describe())
            for notice in batches.notices:
                print(notice)
        finished = run.run_to_end(terminated)
        if first and finished:
            run.write_model(MODEL_FOLDER)
        parallel.meet()  # otherwise the others would leave while process 0 still writes
    return EXIT_OK if finished else EXIT_PREEMPTED


class Run:
    """The state of a run in progress."""

    def __init__(
        self,
        config: Config,
        batches: ClipBatches,
        checkpoints: RunCheckpoints,
        log: RunLog,
        workdir: Path,
        objectives: Objectives,
    ):
        self.config = config
        self.batches = batches
        self.checkpoints = checkpoints
        self.log = log
        self.workdir = workdir
        self.frame_size = _frame_size(batches)
        check_frame_size(*self.frame_size, config.train.objective.scales)
        self.graphdef, params, frozen, statistics, self.base_card = initial_networks(config, parallel.AXIS)
        self.available = frozenset(params)
        self.frozen = frozen
        self.frozen_digest = digest_of(frozen)
        self.epoch_steps = batches.batches_per_epoch
        self.total_steps = config.train.steps or config.train.epochs * self.epoch_steps
        step = TrainStep(
            self.graphdef,
            config.train,
            learning_rate_factor(config.train, self.total_steps, self.epoch_steps),
            parallel.AXIS,
            objectives,
        )
        objective = config.train.objective
        self.watch = Watch(
            batches.split.sequences,
            skip=config.train.on_nan == "skip",
            projection=objective.projection_weight > 0 and projects(config.train.phases, self.available),
            relative=objective.projection_relative,
        )
        self._step = parallel.DataParallel(step)
        self._frozen_on_devices = parallel.replicate(frozen)
        self.state = parallel.replicate(self._restored(new_state(params, statistics, config.train)), owned=True)
        self.validation = Validation(config) if config.train.validation_path else None

    def describe(self) -> str:
        """The table of groups, and how much of the depth network is trained."""
        params = self.state["params"]
        shapes = {
            names_of(path): leaf.shape[1:] if group in params else leaf.shape  # trained leaves have a device axis
            for group, members in {**self.frozen, **params}.items()
            for path, leaf in members.items()
        }
        table = count_groups(shapes.items(), self.available)
        of_depth = {path: shape for path, shape in shapes.items() if path[0] == DEPTH_NETWORK}
        trained, total = trained_and_total(count_groups(of_depth.items(), self.available))
        lines = [
            *table_lines(table),
            f"depth network: training {trained:,} of {total:,} parameters ({100 * trained / total:.2f}%)",
            f"{self.total_steps} steps, {self.epoch_steps} per epoch, devices: {jax.device_count()}",
        ]
        return "\n".join(lines)

    def run_to_end(self, terminated: "list[int]") -> bool:
        """Runs steps until the end or a signal; returns whether the end was reached."""
        config, done = self.config.train, self._steps_done()
        # A run may have been stopped between saving and validating; only process 0, which has the log, can tell.
        if self._validates(done) and not parallel.any_process(self.log.holds(done, "validation")):
            self._validate(done)
        bar = tqdm(
            range(done + 1, self.total_steps + 1), initial=done, total=self.total_steps, desc="train", unit="step",
            disable=None if jax.process_index() == 0 else True,
        )  # fmt: skip
        began, since = time.perf_counter(), done
        for number in bar:
            phase = phase_of_step(number, config.phases, self.available)
            batch = next(self.batches)
            self.state, metrics, pictures = self._step(
                self.state, self._frozen_on_devices, parallel.shard(batch), phase
            )
            self.watch.add(number, metrics, batch)
            logs = number % config.log_every == 0 or number == self.total_steps
            stop = parallel.any_process(bool(terminated)) if logs or jax.process_count() == 1 else False
            validates = self._validates(number)
            saves = stop or validates or self._ends_epoch(number) or number % config.save_every == 0
            if logs or saves:
                health = self.watch.look()
            if logs:
                metrics = parallel.unreplicate(metrics) | health
                rate = (number - since) / (time.perf_counter() - began)
                began, since = time.perf_counter(), number
                self.log.scalars(number, "train", metrics | {"steps_per_second": rate})
                bar.set_postfix(loss=f"{metrics['loss']:.4f}", phase=phase.name)
            if config.picture_every and (number % config.picture_every == 0 or number in (1, self.total_steps)):
                self.log.picture(number, "step", panel(parallel.unreplicate(pictures)))
            if saves:
                self._save(number)
            if validates and not stop:
                self._validate(number)
            if saves:
                self._write_report(number)
                began, since = time.perf_counter(), number  # the rate is that of steps alone
            if stop:
                self.checkpoints.wait()
                return number == self.total_steps
        return True

    def write_model(self, name: str, entries: dict[str, object] | None = None) -> None:
        """Writes the networks as a checkpoint for `infer`, `evaluate` and `export`, with more entries for its card."""
        tree = join_groups(self._weights(), self.frozen)
        statistics = parallel.unreplicate(self.state["statistics"])
        tree = unflatten(flatten(tree) | flatten(statistics))
        card = Card(
            what=f"{self.config.model.family} {self.config.model.preset}, trained for {self._steps_done()} steps",
            licence=self.base_card.licence if self.base_card else "MIT, as this package",
            sources=self.base_card.sources if self.base_card else {},
            notes=(f"started from {self.base_card.what if self.base_card else 'random weights'}",),
            entries={
                **dict(zip(("height", "width"), self.frame_size, strict=True)),
                "resnet_layers": self.config.train.resnet_layers,
                **(entries or {}),
            },
        )
        save_model(self.workdir / name, self.config.model, jax.tree.map(np.asarray, tree), card, overwrite=True)

    def _weights(self) -> Groups:
        """The trained groups for validation and export: averaged, if averages are kept."""
        return parallel.unreplicate(self.state["ema"] if self.config.train.ema_decay else self.state["params"])

    def _steps_done(self) -> int:
        return int(self.state["step"].addressable_shards[0].data[0])

    def _ends_epoch(self, number: int) -> bool:
        return number % self.epoch_steps == 0 or number == self.total_steps

    def _validates(self, number: int) -> bool:
        """Whether a validation belongs after this step; 0 is the start."""
        if self.validation is None:
            return False
        every = self.config.train.validate_every or self.epoch_steps
        return number % every == 0 or number == self.total_steps

    def _restored(self, state: State) -> State:
        state = jax.tree.map(np.asarray, state)
        found = self.checkpoints.restore(state, lambda step, record: self._check_record(step, record, state))
        if found is None:
            return state
        step, state, record = found
        difference = self.batches.differs_from(record["data"])
        if difference and self.config.train.allow_changes:
            print(f"{difference}: its clips are drawn from the start", file=sys.stderr)
        else:
            self.batches.set_state(record["data"])
        self.watch.start = record.get("health_at_start", {})
        print(f"resuming from step {step} of {self.total_steps}")
        return state

    def _check_record(self, step: int, record: dict, state: State) -> None:
        """Raises `UserError` if a checkpoint belongs to a run with a different configuration, or a longer one."""
        where = str(self.checkpoints.step_folder(step))
        lines = changed_fields(record["config"], dataclasses.asdict(self.config))
        before, now = record["config"]["data"]["path"], self.config.data.path
        if record.get("data_sha256", self._data_digest()) != self._data_digest():
            lines.append(f"config.data.path: was {before!r}, now {now!r}, which contains different frames")
        check_changes(where, lines, self.config.train.allow_changes)
        check_length(where, step, self.total_steps)
        check_arrays(where, record.get("shapes", shapes_of(state)), shapes_of(state))
        if record["frozen_sha256"] != self.frozen_digest:
            raise UserError(
                f"{where}: was trained with other frozen weights than config.weights "
                f"({self.config.weights or 'random'}); use the same weights, or another --workdir"
            )

    def _data_digest(self) -> str:
        """Digest of the data set; empty for a phantom, which is fully described by its configuration."""
        return "" if self.config.data.phantom.family else digest_of_split(self.batches.split)

    def _save(self, number: int) -> None:
        record = {
            "data": self.batches.get_state(),
            "data_sha256": self._data_digest(),
            "frozen_sha256": self.frozen_digest,
            "config": dataclasses.asdict(self.config),
            "health_at_start": self.watch.start,
        }
        self.checkpoints.save(number, parallel.unreplicate(self.state), record)

    def _write_report(self, number: int) -> None:
        if jax.process_index() == 0:
            title = f"Training in {self.workdir.name}: step {number} of {self.total_steps}"
            write_run_report(self.workdir, title, flat_fields(dataclasses.asdict(self.config)))

    def _validate(self, number: int) -> None:
        """Evaluates the network and writes it if it is the best; sequences that fail are only reported."""
        if self.validation is not None and jax.process_index() == 0:
            self._validate_here(number, self.validation)
        parallel.meet()

    def _validate_here(self, number: int, validation: Validation) -> None:
        scores = validation.score(join_groups(self._weights(), self.frozen)["depth"])
        for sequence, why in scores.failures.items():
            print(f"validation after step {number}: {sequence}: {why}; skipped", file=sys.stderr)
        if "rmse" in scores.means and self._is_best(scores.means["rmse"], validation.settings):
            self.write_model(BEST_FOLDER, {_SCORES: scores.means, _SETTINGS: validation.settings})
        # Last, because a resumed run takes this line as the sign that validation is done.
        self.log.scalars(number, "validation", scores.means | {"failed_sequences": len(scores.failures)})
        found = compared(scores.means, self.log.first("validation") if number else {})
        print(f"validation after step {number}: {found or 'nothing could be evaluated'}", flush=True)

    def _is_best(self, rmse: float, settings: dict) -> bool:
        folder = self.workdir / BEST_FOLDER
        if not is_checkpoint(folder):
            return True
        best = cast(dict[str, Any], read_card(folder).entries)
        if best.get(_SETTINGS) != settings:
            print(f"{folder}: validated with other settings; replaced", file=sys.stderr)
            return True
        return rmse < best[_SCORES]["rmse"]


def _signal_lines(measured: Signal, data: DataConfig) -> list[str]:
    """The training signal in the data, and a warning if there is too little."""
    interval = data.frame_max_interval if data.frame_interval == "drawn" else measured.interval
    warning = measured.warning(interval) if measured.parallax else ""
    return [f"data: {measured.line()}", *([f"warning: {warning}"] if warning else [])]


def _frame_size(batches: ClipBatches) -> tuple[int, int]:
    """Returns (height, width) of the frames, which all have one size (`ClipBatches` refuses others)."""
    height, width, _ = decode_record(batches.split.records([0])[0]).frame.shape
    return height, width


@contextlib.contextmanager
def _termination() -> Iterator["list[int]"]:
    """Yields a list that becomes true on SIGTERM (pre-emption by a cluster); the run then saves and ends.

    In a thread that is not the main one, as in a notebook's or a server's, signals are not caught.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield received
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
