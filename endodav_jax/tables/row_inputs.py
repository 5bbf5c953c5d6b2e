"""Data sets and networks for the rows: prepared, converted and trained when a row first needs them.

Everything is stored in one folder under names that contain the digest of the inputs, so that a run that was stopped
reuses what is finished, resumes what is not, and never uses anything made from other weights or data.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from endodav_jax.checkpoints import MODEL_FOLDER, convert, load_model
from endodav_jax.checkpoints.card import CARD_NAME, Manifest
from endodav_jax.checkpoints.shipped import SHIPPED, sha256_of_shipped
from endodav_jax.checkpoints.store import is_checkpoint
from endodav_jax.checkpoints.transfer import sha256_of_source
from endodav_jax.config import Config
from endodav_jax.data.config import PhantomData
from endodav_jax.data.obtain import obtain_split
from endodav_jax.data.prepared import read_cards, read_settings
from endodav_jax.data.rendered import render
from endodav_jax.errors import EXIT_PREEMPTED, UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.registry import FAMILIES
from endodav_jax.tables.given import WHERE, Given
from endodav_jax.tables.recipes import SmallRun, training_sections
from endodav_jax.tables.result_store import digest_of_identity
from endodav_jax.tables.rows import DATA_NAMES, NETWORKS, DataSet, Network
from endodav_jax.training.loop import train
from endodav_jax.training.run_lock import folder_of_this_run


class Preempted(Exception):
    """SIGTERM ended a training after saving."""

    def __init__(self, folder: str):
        super().__init__(f"stopped and saved in {folder}; rerun the same command to resume")


class Split(NamedTuple):
    """A split to train or to evaluate on.

    Attributes:
      folder: folder of the prepared data set.
      split: its name.
      digest: of its sequences, their frames, and how it was made.
      left_out: which sequences are missing in the download; empty if it is complete.
    """

    folder: Path
    split: str
    digest: str
    left_out: tuple[str, ...]


class Weights(NamedTuple):
    """A network's checkpoint.

    Attributes:
      folder: folder of the checkpoint.
      config: of the depth network, as it is run.
      digest: of its weights.
      notes: remarks about its training for the reader.
      left_out: as in `Split`, for its training data.
    """

    folder: Path
    config: DepthModelConfig
    digest: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def params(self) -> dict:
        """Returns the depth network's weights, a pure nested dict of arrays."""
        return load_model(self.folder)[1]["depth"]


class RowInputs:
    """The inputs of the rows, each made once.

    With a `SmallRun`, phantoms replace the data sets and small networks the published ones.
    """

    def __init__(self, given: Given, workdir: Path, size: SmallRun | None = None):
        self.given = given
        self.workdir = workdir
        self.size = size
        self._made: dict[tuple, Any] = {}

    def evaluation_split(self, data: DataSet) -> Split:
        """Returns the split of a data set on which rows are evaluated.

        Raises:
          UserError: it is missing or cannot be prepared.
        """
        return self._once(("split", data), lambda: self._split(data, self._evaluated(data)))

    def network(self, name: Network) -> Weights:
        """Returns a network: the one given by the user, or one trained here, which may take days.

        Raises:
          UserError: weights or data are missing or do not fit.
          Preempted: SIGTERM was received during training.
        """
        return self._once(("network", name), lambda: self._network(name))

    def _network(self, name: Network) -> Weights:
        entry, place = NETWORKS[name], getattr(self.given, name)
        if place is not None:
            return self._converted(place, name, entry.family)
        if entry.starts:
            return self._trained(name)
        if self.size is not None:
            return self._shipped()
        raise UserError(f"--{name}: {WHERE[name]}")

    def _trained(self, name: Network) -> Weights:
        """Trains a network on SCARED, resumes its training, or returns it if it is already trained."""
        notes = []
        entry = NETWORKS[name]
        if "depth_anything" in entry.starts and self.given.depth_anything is not None:
            start = self._converted(self.given.depth_anything, "depth_anything", entry.family)
        else:
            start = self.network("vda")
            if "depth_anything" in entry.starts and self.size is None:
                title = FAMILIES[entry.family].title
                notes.append(f"{title} started from Video-Depth-Anything's weights; published: --depth-anything FILE")
        if self.given.resnet is None and self.size is None:
            notes.append(f"{name}: motion networks started from random weights; published: --resnet FILE")
        data = self._once(("split", "scared", "train"), lambda: self._split("scared", "train"))
        sections = training_sections(name, start.config.preset, self.size, self.given.precision)
        identity = {
            **{section: dataclasses.asdict(sections[section]) for section in ("model", "data", "train")},
            "start": start.digest,
            "resnet": sha256_of_source(self.given.resnet) if self.given.resnet else None,
            "training data": data.digest,
            "seed": self.given.seed,
        }
        workdir = self.workdir / "trained" / f"{name}-{digest_of_identity(identity)}"
        if not is_checkpoint(workdir / MODEL_FOLDER):
            print(f"training {name}: {workdir}", flush=True)
            sections["data"] = dataclasses.replace(sections["data"], path=str(data.folder), split=data.split)
            resnet = str(self.given.resnet or "")
            sections["train"] = dataclasses.replace(sections["train"], resnet_weights=resnet)
            with folder_of_this_run(workdir):
                code = train(Config(weights=str(start.folder), seed=self.given.seed, **sections), workdir)
            if code == EXIT_PREEMPTED:
                raise Preempted(str(workdir))
        return self._as_run(workdir / MODEL_FOLDER)._replace(notes=tuple(notes), left_out=data.left_out)

    def _converted(self, place: Path, name: str, family: str) -> Weights:
        """Returns a checkpoint unchanged and published weights converted; the network must be of `family`."""
        folder, digest = place.expanduser(), ""
        if not is_checkpoint(folder):
            digest = sha256_of_source(folder)
            source, folder = folder, self.workdir / "weights" / f"{name}-{digest}"
            if not is_checkpoint(folder):
                convert(source, folder, family=family)
        weights = self._as_run(folder, digest)
        if weights.config.family_entry is not FAMILIES[family]:
            raise UserError(f"--{name.replace('_', '-')}: {place} contains a network of {weights.config.family}")
        return weights

    def _shipped(self) -> Weights:
        """Returns the networks shipped with the package, from which rows on a phantom start by default."""
        digest = digest_of_identity(sha256_of_shipped())
        folder = self.workdir / "weights" / f"shipped-{digest}"
        if not is_checkpoint(folder):
            convert(SHIPPED, folder)
        notes = ("all rows start from the network shipped with the package; use --vda for others",)
        return self._as_run(folder, digest)._replace(notes=notes)

    def _as_run(self, folder: Path, digest: str = "") -> Weights:
        """Returns a checkpoint, identified by `digest` or, if it does not give the inputs, by its files."""
        manifest = Manifest.read(folder / CARD_NAME)
        if manifest.config is None:
            raise UserError(f"{folder}: contains {manifest.card.what}, not a depth network")
        config = dataclasses.replace(manifest.config, precision=self.given.precision)
        if self.size is not None:
            config = dataclasses.replace(config, image_shape=self.size.image_shape)
        return Weights(folder, config, digest or digest_of_identity(manifest.files))

    def _split(self, data: DataSet, split: str) -> Split:
        left_out: tuple[str, ...] = ()
        if self.size is not None:
            phantom = self.size.phantom(data)
            folder = self._once(("phantom", data), lambda: self._rendered(phantom))[split != "train"]
        else:
            place = getattr(self.given, data)
            if place is None:
                raise UserError(f"--{data}: {WHERE[data]}")
            folder, missing = obtain_split(data, place, split, self.workdir / "data")
            more = f" (and {len(missing) - 1} more sequences)" if len(missing) > 1 else ""
            if missing:
                left_out = (f"{DATA_NAMES[data]}, {split}: not there and left out: {missing[0]}{more}",)
        identity = {"settings": read_settings(folder), "cards": read_cards(folder)[split]}
        return Split(folder, split, digest_of_identity(identity), left_out)

    def _rendered(self, phantom: PhantomData) -> tuple[Path, Path]:
        root = self.workdir / "data" / f"{phantom.family}-{digest_of_identity(dataclasses.asdict(phantom))}"
        return render(phantom, root)

    def _evaluated(self, data: DataSet) -> str:
        return "test" if self.size is not None else getattr(self.given, f"{data}_split")

    def _once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Returns what was made before under `key`; a failure is raised again without another attempt."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except UserError as error:
                self._made[key] = error
        if isinstance(self._made[key], UserError):
            raise self._made[key]
        return self._made[key]
