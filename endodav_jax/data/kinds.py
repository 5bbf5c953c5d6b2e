"""Every kind of source by its name on the command line, and the options each one's constructor declares."""

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable

from endodav_jax.data.sources.base import Source
from endodav_jax.errors import UserError

# Kind -> the module and class that read it, and what to give as its place.
KINDS = types.MappingProxyType(
    {
        "scared": ("endodav_jax.data.sources.scared:ScaredSource", "folder or zip file of the download"),
        "hamlyn": ("endodav_jax.data.sources.hamlyn:HamlynSource", "folder that holds rectified01, ..."),
        "c3vd": ("endodav_jax.data.sources.c3vd:C3vdSource", "folder that holds cecum_t1_a, ..."),
        "simcol3d": ("endodav_jax.data.sources.simcol3d:Simcol3dSource", "folder that holds SyntheticColon_I, ..."),
        "endonerf": ("endodav_jax.data.sources.endonerf:EndonerfSource", "a scene, or the folder that holds scenes"),
        "frames": ("endodav_jax.data.sources.frames:FramesSource", "a video or a folder of frames"),
        "phantom": ("endodav_jax.data.sources.phantom:PhantomSource", "a family of phantoms: colon or organ"),
    }
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a source takes beside the place of its data; each kind has fields of its own."""

    def given(self) -> dict:
        """Returns the options that are not the defaults, by name."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in values if value != field.default}


def source_class(kind: str) -> Callable[..., Source]:
    """Returns the class that reads a kind of source.

    Raises:
      UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"{kind}: no kind of data; choose one of {', '.join(KINDS)}")
    module, name = KINDS[kind][0].split(":")
    return getattr(importlib.import_module(module), name)


def options_type(kind: str) -> type[Options]:
    """Returns a dataclass of what a kind's constructor takes beside the place of the data.

    Its fields have the names, types and defaults of the keywords; its docstring is the constructor's.
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
