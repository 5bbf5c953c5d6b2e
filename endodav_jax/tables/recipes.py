"""How each network in the tables is trained: as published, or at toy size on a phantom."""

import dataclasses

from endodav_jax.choices import Precision
from endodav_jax.data.config import PhantomData
from endodav_jax.tables.rows import NETWORKS, DataSet, Network
from endodav_jax.training.phases import PhaseSchedule
from endodav_jax.training.published_runs import PUBLISHED_RUNS


@dataclasses.dataclass(frozen=True)
class SmallRun:
    """The sizes used when the phantom replaces the data sets.

    Attributes:
      image_shape: (height, width) at which the networks run.
      data: the phantom; with more than 22 frames, a sequence has a second window, so that there is something to align.
      clip_length: frames per training clip; networks that see single frames get as many frames per step.
      steps: steps of each training.
    """

    image_shape: tuple[int, int] = (112, 140)
    data: PhantomData = PhantomData("organ", sequences=4, frames=40)
    clip_length: int = 4
    steps: int = 20

    def phantom(self, data: DataSet) -> PhantomData:
        """Returns the phantom that replaces a data set: other scenes of one family, so one renderer is compiled."""
        return dataclasses.replace(self.data, seed=0 if data == "scared" else 1)


def training_sections(network: Network, preset: str, size: SmallRun | None, precision: Precision) -> dict:
    """Returns the sections of a training configuration, without data set and weights.

    Args:
      network: any except `vda`, which is not trained.
      preset: preset of the backbone.
      size: size of a run on the phantom; None for the published run.
      precision: precision of the networks' activations.
    """
    entry = NETWORKS[network]
    sections = PUBLISHED_RUNS[entry.family](preset)
    model = dataclasses.replace(sections["model"], precision=precision)
    data = sections["data"]
    train = dataclasses.replace(sections["train"], precision=precision, picture_every=0)
    if not entry.projection:
        train = train.without_projection_loss()
    if size is not None:
        clips = model.family_entry.windows  # otherwise it is trained on single frames
        model = dataclasses.replace(model, image_shape=size.image_shape)
        data = dataclasses.replace(data, **{"clip_length" if clips else "batch_size": size.clip_length})
        data = dataclasses.replace(data, threads=1, prefetch=1)
        # A short run is mostly compilation: use one program, and no rematerialisation.
        train = dataclasses.replace(
            train, steps=size.steps, phases=PhaseSchedule(joint=True), resnet_layers=10, log_every=1, remat=False,
            objective=dataclasses.replace(train.objective, remat=False),
        )  # fmt: skip
    return sections | {"model": model, "data": data, "train": train}
