"""Every kind of source by its name on the command line, its data sets, and the options of its constructor."""

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable
from typing import NamedTuple

from endodav_jax.data.phantom.config import FAMILY_NAMES
from endodav_jax.data.sources.base import Source
from endodav_jax.errors import UserError


class Kind(NamedTuple):
    """A kind of source and the data sets made from it.

    Attributes:
      source: module and class that read it, `module:Class`, imported on first use.
      place: what to pass as its location.
      data_set: name of the TFDS data sets made from it, and of their folder.
      description: description stored by TFDS.
    """

    source: str
    place: str
    data_set: str
    description: str


_SOURCES = "endodav_jax.data.sources"

KINDS = types.MappingProxyType(
    {
        "scared": Kind(
            f"{_SOURCES}.scared:ScaredSource",
            "folder or zip file of the download",
            "scared_video",
            "SCARED (MICCAI EndoVis 2019): left video, depth of keyframes moved along, world-to-camera poses.",
        ),
        "hamlyn": Kind(
            f"{_SOURCES}.hamlyn:HamlynSource",
            "folder that holds rectified01, ...",
            "hamlyn_video",
            "Hamlyn videos as rectified by Endo-Depth-and-Motion: left video, depth by LIBELAS stereo.",
        ),
        "c3vd": Kind(
            f"{_SOURCES}.c3vd:C3vdSource",
            "folder that holds cecum_t1_a, ...",
            "c3vd",
            "C3VD: video colonoscopy of a phantom, rendered z-depth and poses; fisheye.",
        ),
        "simcol3d": Kind(
            f"{_SOURCES}.simcol3d:Simcol3dSource",
            "folder that holds SyntheticColon_I, ...",
            "simcol3d",
            "SimCol3D: synthetic colonoscopy with exact depth and poses.",
        ),
        "endonerf": Kind(
            f"{_SOURCES}.endonerf:EndonerfSource",
            "a scene, or the folder that holds scenes",
            "endonerf",
            "EndoNeRF: deforming tissue before a still camera; depth is an estimate from stereo.",
        ),
        "frames": Kind(
            f"{_SOURCES}.frames:FramesSource",
            "a video or a folder of frames",
            "frames",
            "An endoscope's own video, with whatever is known of its camera, depth and motion.",
        ),
        "phantom": Kind(
            f"{_SOURCES}.phantom:PhantomSource",
            "a family of phantoms: " + ", ".join(FAMILY_NAMES),
            "phantom",
            "Procedural endoscopy: exact depth, poses and intrinsics.",
        ),
    }
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a source besides the location of its data; each kind has its own fields."""

    def given(self) -> dict:
        """Returns the options that differ from their defaults, by name."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in values if value != field.default}


def source_class(kind: str) -> Callable[..., Source]:
    """Returns the class that reads a kind of source.

    Raises:
      UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"{kind}: no kind of data; choose one of {', '.join(KINDS)}")
    module, name = KINDS[kind].source.split(":")
    return getattr(importlib.import_module(module), name)


def splits_of_data_set(name: str) -> tuple[str, ...]:
    """Returns the splits that data sets of a name, `Kind.data_set`, can have; none if no kind makes them."""
    for kind, entry in KINDS.items():
        if entry.data_set == name:
            source: typing.Any = source_class(kind)
            return source.splits
    return ()


def nothing_found(source: Source) -> UserError:
    """Returns the error for a place that holds nothing of a source's kind."""
    place = getattr(source, "root", source.name)
    kind = KINDS.get(source.name)
    cure = f"give the {kind.place.removeprefix('the ')}" if kind else "name another place"
    return UserError(f"{place}: holds no sequence of {source.name}; {cure}")


def options_type(kind: str) -> type[Options]:
    """Returns a dataclass of the constructor options of a kind, besides the location of the data.

    Its fields have the names, types and defaults of the keyword arguments; its docstring is the constructor's.
    """
    constructor = source_class(kind).__init__
    hints = typing.get_type_hints(constructor, include_extras=True)
    fields = [
        (name, hints[name], dataclasses.field(default=parameter.default))
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    return dataclasses.make_dataclass(
        f"{kind.capitalize()}Options",
        fields,
        bases=(Options,),
        namespace={"__module__": __name__, "__doc__": inspect.getdoc(constructor)},
        frozen=True,
    )
