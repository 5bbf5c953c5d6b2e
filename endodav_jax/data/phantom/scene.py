"""A scene: every number that one sequence is rendered from, as a pytree drawn from one key."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.camera import Lens
from endodav_jax.data.phantom.config import FAMILY_NAMES, PhantomConfig
from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.extras import Extras, draw_extras
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.data.phantom.light import Light, Sensor
from endodav_jax.data.phantom.materials import Materials
from endodav_jax.data.phantom.paths import Path
from endodav_jax.data.phantom.room_light import RoomLight
from endodav_jax.data.phantom.shapes import Points, Shape, wave
from endodav_jax.data.phantom.texture import Mucosa
from endodav_jax.data.phantom.tool import Tool

CURVATURE_SAMPLES = 16384
CURVATURE_QUANTILE = 0.998
CURVATURE_STEP_MM = 0.3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Breathing:
    """Slow waves that shift the tissue: a point at rest at p is seen at p - shift(p).

    Attributes:
      amplitude_mm: [3] along x, y and z.
      wavelength_mm: of the travelling wave.
      period: in frames.
      phase: [3] in turns.
    """

    amplitude_mm: jax.Array
    wavelength_mm: jax.Array
    period: jax.Array
    phase: jax.Array

    def at_rest(self, points: Points, t: jax.Array) -> Points:
        """The tissue's own coordinates of points seen in frame `t`."""
        x, y, z = points
        turns = (0.6 * x + 0.5 * y + z) / self.wavelength_mm + t / self.period
        shifts = (a * wave(turns + p) for a, p in zip(self.amplitude_mm, self.phase, strict=True))
        return tuple(p + s for p, s in zip(points, shifts, strict=True))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scene:
    """One sequence; `curvature` (per mm) bounds how fast the slope of the shape's field falls along any ray."""

    shape: Shape
    surface: Mucosa | Materials
    lens: Lens
    path: Path
    light: Light | RoomLight
    sensor: Sensor
    tool: Tool
    breathing: Breathing
    curvature: jax.Array
    extras: Extras = Extras()


def draw_scene(config: PhantomConfig, sequence: int | jax.Array) -> Scene:
    """Draws sequence number `sequence` of a data set; one program draws every sequence of a family."""
    key = _key(config, sequence)
    scene = _draw(config.family, _switches(config), key)
    return dataclasses.replace(scene, extras=draw_extras(config, key, scene.shape, scene.path))


def _key(config: PhantomConfig, sequence: int | jax.Array) -> jax.Array:
    key = jax.random.fold_in(jax.random.key(config.seed), FAMILY_NAMES.index(config.family))
    return jax.random.fold_in(key, sequence)


def _switches(config: PhantomConfig) -> dict[str, jax.Array]:
    """The switches as float32 arrays, so that none of them costs a compilation."""
    lamps = float(config.light == "endoscope")
    return {
        "focal": jnp.array(config.focal, jnp.float32),
        "speed": jnp.array(config.speed, jnp.float32),
        "flat": jnp.float32(1.0 - lamps),
        "specular": jnp.float32(config.specular * lamps),
    } | {
        name: jnp.float32(getattr(config, name))
        for name in (
            "principal_jitter", "circular_view", "exposure_drift", "vignette", "blur", "noise", "tissue_motion_mm",
            "tool",
        )
    }  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def _draw(family: str, switches: dict[str, jax.Array], key: jax.Array) -> Scene:
    d = Draws(key)
    made = FAMILIES[family]
    shape = made.shape.draw(d.key())
    surface = made.surface(d.key(), switches["specular"])
    curvature = _curvature(shape, d)
    stopped = d.chance(switches["circular_view"]) > 0
    stop = jnp.stack([d.uniform(-0.08, 0.08), d.uniform(-0.06, 0.06), d.uniform(0.46, 0.66)])
    return Scene(
        shape=shape,
        surface=surface,
        lens=Lens(
            focal=d.log_uniform(*switches["focal"]),
            centre=switches["principal_jitter"] * d.uniform(-1.0, 1.0, (2,)),
            stop=jnp.where(stopped, stop, jnp.array([0.0, 0.0, 9.0], jnp.float32)),
            stop_cut=jnp.where(stopped, d.uniform(0.4, 0.56), 9.0),
        ),
        path=made.path(d.key(), shape, switches["speed"]),
        light=_light(d.key(), shape, made.scope, switches["flat"]),
        sensor=Sensor.draw(
            d.key(), made.scope, switches["exposure_drift"], switches["vignette"], switches["blur"], switches["noise"]
        ),
        tool=Tool.draw(d.key(), made.scope, switches["tool"]),
        breathing=Breathing(
            amplitude_mm=switches["tissue_motion_mm"] * d.uniform(0.3, 1.0, (3,)),
            wavelength_mm=d.uniform(80.0, 140.0),
            period=d.uniform(50.0, 110.0),
            phase=d.uniform(0.0, 1.0, (3,)),
        ),
        curvature=curvature,
    )


def _light(key: jax.Array, shape: Shape, scope: str, flat: jax.Array) -> Light | RoomLight:
    return RoomLight.draw(key, shape.room_mm, flat) if scope == "free" else Light.draw(key, scope, flat)


def _curvature(shape: Shape, d: Draws) -> jax.Array:
    """Strong concave second derivative of the field, from second differences at many points of free space."""
    points = shape.sample(d.key(), CURVATURE_SAMPLES)
    towards = jax.random.normal(d.key(), (3, CURVATURE_SAMPLES), jnp.float32)
    direction = tuple(towards / jnp.linalg.norm(towards, axis=0))

    step = CURVATURE_STEP_MM
    before, value, after = shape.field(
        tuple(p + c * jnp.array([[-step], [0.0], [step]], jnp.float32) for p, c in zip(points, direction, strict=True))
    )
    concave = jnp.where(value > 0, (2 * value - before - after) / step**2, 0.0)
    return jnp.maximum(1.1 * jnp.quantile(concave, CURVATURE_QUANTILE), 0.05)
