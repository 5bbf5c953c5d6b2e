"""The families of worlds: each entry defines what a world is made of and how it is filmed."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import jax

from endodav_jax.data.phantom.airway import AirwayShape, airway_mucosa
from endodav_jax.data.phantom.colon import ColonShape, colon_mucosa
from endodav_jax.data.phantom.materials import Materials
from endodav_jax.data.phantom.organ import OrganShape, organ_mucosa, organ_path
from endodav_jax.data.phantom.paths import Path, draw_tube_path
from endodav_jax.data.phantom.shapes import Shape
from endodav_jax.data.phantom.sinus import SinusShape, sinus_mucosa
from endodav_jax.data.phantom.stomach import StomachShape, stomach_mucosa, stomach_path
from endodav_jax.data.phantom.texture import Mucosa
from endodav_jax.data.phantom.things import BALLS, BOXES, PARTS, RODS, ThingsShape, things_path

Scope = Literal["flexible", "rigid", "free"]


@dataclasses.dataclass(frozen=True)
class Family:
    """One kind of world.

    Attributes:
      about: what it shows, in a few words.
      shape: class of the shape.
      surface: (key, specular) -> colours and textures.
      path: (key, shape, speed) -> the hand.
      scope: what it is seen through: a `flexible` or `rigid` endoscope, or a `free` camera in a room with lamps.
      interval: frames between those that training compares, so that there is parallax enough at 128x160.
      preset: fields of `PhantomConfig` that differ from its defaults.
    """

    about: str
    shape: type[Shape]
    surface: Callable[[jax.Array, jax.Array], Mucosa | Materials]
    path: Callable[[jax.Array, Any, jax.Array], Path]
    scope: Scope = "flexible"
    interval: int = 4
    preset: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _things_materials(key: jax.Array, specular: jax.Array) -> Materials:
    return Materials.draw(key, PARTS + BOXES + BALLS + RODS, specular)


_sinus_path = functools.partial(draw_tube_path, aside=0.3)

# By `config.FAMILY_NAMES`.
FAMILIES: Mapping[str, Family] = MappingProxyType({
    "colon": Family("folded, branching tubes", ColonShape, colon_mucosa, draw_tube_path),
    "organ": Family(
        "a cavity with organs on its floor", OrganShape, organ_mucosa, organ_path, "rigid", 4,
        {"focal": (0.82, 0.82), "circular_view": 0.0, "speed": (0.9, 1.8)},
    ),
    "things": Family(
        "rooms of solids under standing lamps", ThingsShape, _things_materials, things_path, "free", 2,
        {"focal": (0.45, 1.5), "circular_view": 0.0, "speed": (0.9, 1.8)},
    ),
    "airway": Family(
        "ringed tubes that fork", AirwayShape, airway_mucosa, draw_tube_path, "flexible", 2,
        {"speed": (0.4, 0.9)},
    ),
    "stomach": Family(
        "a large bag with long folds", StomachShape, stomach_mucosa, stomach_path, "flexible", 4,
        {"speed": (0.9, 1.6)},
    ),
    "sinus": Family(
        "narrow passages, partitions and debris", SinusShape, sinus_mucosa, _sinus_path, "rigid", 4,
        {"circular_view": 0.7, "speed": (0.4, 0.8)},
    ),
})  # fmt: skip
