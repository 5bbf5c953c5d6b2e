"""A phantom as the data set of a run: rendered into the run's folder once, and reused afterwards."""

import dataclasses
from pathlib import Path

from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.data.prepare import build, find_sequences, forms_of
from endodav_jax.data.sources.phantom import PhantomSource
from endodav_jax.errors import UserError


def with_rendered_phantom(data: DataConfig, folder: Path) -> tuple[DataConfig, str]:
    """Renders `data.phantom`, if it names a family, and points `data.path` at it.

    Returns:
      The configuration, and the path of the validation split's data set; unchanged and "" without a phantom.

    Raises:
      UserError: `data.path` names another data set, or one rendered with other settings is in the folder.
    """
    if not data.phantom.family:
        return data, ""
    if data.path:
        raise UserError(
            f"config.data.path: {data.path} and config.data.phantom.family, {data.phantom.family}, are both given; "
            "leave one empty (--config.data.phantom.family=)"
        )
    paths = render(data.phantom, folder)
    return dataclasses.replace(data, path=str(paths[0])), str(paths[1])


def render(phantom: PhantomData, folder: Path) -> tuple[Path, Path]:
    """Builds the training and the evaluation data set of a phantom and returns their folders."""
    fields = dataclasses.asdict(phantom)
    source = PhantomSource(fields.pop("family"), **fields)
    settings = {name: str(value) for name, value in dataclasses.asdict(phantom).items()}
    built = []
    for form in forms_of(source):
        sequences, infos, _ = find_sequences(source, form.splits)
        built.append(
            build(
                "phantom", source, form, sequences, infos, folder,
                settings=settings, cure="delete it, or use another folder for the run",
            )
        )  # fmt: skip
    return built[0], built[1]
