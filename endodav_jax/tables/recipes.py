"""How each network of the tables is trained: as published, or at toy size on a phantom."""

import dataclasses

from endodav_jax.choices import Precision
from endodav_jax.data.config import PhantomData
from endodav_jax.models.registry import FAMILIES
from endodav_jax.tables.rows import NETWORKS, DataSet, Network
from endodav_jax.training import published_runs
from endodav_jax.training.phases import PhaseSchedule


@dataclasses.dataclass(frozen=True)
class SmallRun:
    """Everything that is small where the phantom stands in for the data sets.

    Attributes:
      image_shape: (height, width) that the networks run at.
      data: the phantom; more than 22 frames of a sequence make a second window, so that depth alignment has something
        to do.
      clip_length: frames of a training clip; EndoDAC sees as many single frames a step.
      steps: of each training.
    """

    image_shape: tuple[int, int] = (112, 140)
    data: PhantomData = PhantomData("organ", sequences=4, frames=40)
    clip_length: int = 4
    steps: int = 20

    def phantom(self, data: DataSet) -> PhantomData:
        """Returns the phantom that stands in for a data set: other scenes of one family, so one renderer compiles."""
        return dataclasses.replace(self.data, seed=0 if data == "scared" else 1)


def training_sections(network: Network, preset: str, size: SmallRun | None, precision: Precision) -> dict:
    """Returns the sections of a training's configuration, without its data set and its weights.

    Args:
      network: any but `vda`, which is not trained.
      preset: of the backbone.
      size: of a phantom's run; None for the published one.
      precision: of the networks' activations.
    """
    entry = NETWORKS[network]
    windows = FAMILIES[entry.family].windows
    if windows:
        sections = published_runs.endodav(preset, projection=entry.projection)
    else:
        sections = published_runs.endodac(preset)
    model = dataclasses.replace(sections["model"], precision=precision)
    data = sections["data"]
    train = dataclasses.replace(sections["train"], precision=precision, picture_every=0)
    if size is not None:
        model = dataclasses.replace(model, image_shape=size.image_shape)
        frames = {"clip_length" if windows else "batch_size": size.clip_length}
        data = dataclasses.replace(data, **frames, threads=1, prefetch=1)
        # Most of a short run is compilation: one program, and nothing in it computed twice to spare memory.
        train = dataclasses.replace(
            train, steps=size.steps, phases=PhaseSchedule(joint=True), resnet_layers=10, log_every=1, remat=False,
            objective=dataclasses.replace(train.objective, remat=False),
        )  # fmt: skip
    return sections | {"model": model, "data": data, "train": train}
