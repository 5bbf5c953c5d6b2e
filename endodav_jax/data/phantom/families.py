"""The families of worlds: each entry defines what a world is made of and how it is filmed."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import jax

from endodav_jax.data.phantom.airway import AirwayShape, airway_mucosa
from endodav_jax.data.phantom.caecum import CaecumShape
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
      shape: class of the shape.
      surface: (key, specular) -> colours and textures.
      path: (key, shape, speed) -> the hand.
      scope: what it is seen through: a `flexible` or `rigid` endoscope, or a `free` camera in a room with lamps.
      preset: fields of `PhantomConfig` that differ from its defaults.
      version: one more whenever its worlds change, so that scenes kept from before are not taken for new ones.
    """

    shape: type[Shape]
    surface: Callable[[jax.Array, jax.Array], Mucosa | Materials]
    path: Callable[[jax.Array, Any, jax.Array], Path]
    scope: Scope = "flexible"
    preset: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: int = 1


def _things_materials(key: jax.Array, specular: jax.Array) -> Materials:
    return Materials.draw(key, PARTS + BOXES + BALLS + RODS, specular)


_sinus_path = functools.partial(draw_tube_path, aside=0.3)

# By `config.FAMILY_NAMES`.
FAMILIES: Mapping[str, Family] = MappingProxyType({
    # Folded, branching tubes.
    "colon": Family(ColonShape, colon_mucosa, draw_tube_path),
    # A cavity with organs on its floor.
    "organ": Family(
        OrganShape, organ_mucosa, organ_path, "rigid",
        {"focal": (0.82, 0.82), "circular_view": 0.0, "speed": (0.9, 1.8)},
    ),
    # Rooms of solids under standing lamps.
    "things": Family(
        ThingsShape, _things_materials, things_path, "free",
        {"focal": (0.45, 1.5), "circular_view": 0.0, "speed": (0.9, 1.8)},
    ),
    # Ringed tubes that fork.
    "airway": Family(AirwayShape, airway_mucosa, draw_tube_path, "flexible", {"speed": (0.4, 0.9)}),
    # A large bag with long folds.
    "stomach": Family(StomachShape, stomach_mucosa, stomach_path, "flexible", {"speed": (0.9, 1.6)}),
    # Narrow passages, partitions and debris.
    "sinus": Family(
        SinusShape, sinus_mucosa, _sinus_path, "rigid", {"circular_view": 0.7, "speed": (0.4, 0.8)}, version=2
    ),
    # The wide blind end of a colon.
    "caecum": Family(CaecumShape, colon_mucosa, draw_tube_path),
})  # fmt: skip
