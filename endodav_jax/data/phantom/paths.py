"""The hands that move a camera: position and aim as closed-form functions of the frame number."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws

SWAYS = 3
UP = (0.0, -1.0, 0.0)
# Peak rates of 0.35, 0.22 and 0.08 degrees per frame and axis.
LOOK_RATES = (0.0061, 0.0038, 0.0014)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sines:
    """Three slow sines an axis; `t` is the frame number, periods are in frames and phases in turns.

    Attributes:
      amplitude: [SWAYS,3].
      period: [SWAYS,3].
      phase: [SWAYS,3].
    """

    amplitude: jax.Array
    period: jax.Array
    phase: jax.Array

    def at(self, t: jax.Array) -> jax.Array:
        """Their sum, [3]."""
        return (self.amplitude * jnp.sin(2 * jnp.pi * (t / self.period + self.phase))).sum(0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Path:
    """The properties that all hands share.

    Attributes:
      sway_mm: of the position.
      look_rad: of pitch, yaw and roll.
      gaze_rad: (pitch, yaw, roll) that the camera keeps away from its aim.
      margin_mm: the wall pushes the camera back within this distance.
    """

    sway_mm: Sines
    look_rad: Sines
    gaze_rad: jax.Array
    margin_mm: jax.Array

    def aim(self, shape, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(position, a point that the camera looks at) in frame `t`, each [3] mm, before walls push."""
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TubePath(Path):
    """In and out along a shape's centreline, `shape.centre(z)`.

    Attributes:
      advance: (period in frames, phase) of going in and out.
      reach_mm: z goes from 0 to here.
      ahead_mm: how far ahead the camera looks.
    """

    advance: jax.Array
    reach_mm: jax.Array
    ahead_mm: jax.Array

    def aim(self, shape, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        round_trip = t / self.advance[0] + self.advance[1]
        # A rounded triangle wave: nearly constant speed, smooth turns.
        z = self.reach_mm * (0.5 + jnp.arcsin(0.96 * jnp.sin(2 * jnp.pi * round_trip)) / (2 * jnp.arcsin(0.96)))
        sway = self.sway_mm.at(t)
        position = shape.centre(z) + sway
        target = shape.centre(z + self.ahead_mm) + 0.3 * sway
        return position, target + (position - shape.centre(z)) * jnp.array([0.0, 0.0, 1.0], jnp.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RoomPath(Path):
    """Swaying about a place in a wide room.

    Attributes:
      home_mm: [3] middle of the positions.
      target_mm: [3] what the camera looks at.
      follow: how much the target follows the sway: 0 circles the target, 1 slides past it.
    """

    home_mm: jax.Array
    target_mm: jax.Array
    follow: jax.Array

    def aim(self, shape, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        del shape
        sway = self.sway_mm.at(t)
        return self.home_mm + sway, self.target_mm + self.follow * sway


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrocarPath(Path):
    """A rigid endoscope through a hole in the wall: it sweeps about the hole, which moves and turns the view together,
    and slides in and out.  `sway_mm` is of its tip: to the side, up, and along the shaft.

    Attributes:
      trocar_mm: [3] the hole.
      shaft: [3,3] unit axes as rows: to the side, up, along the resting shaft.
      depth_mm: how far in the tip rests.
      oblique: (angle of the lens off the shaft, its direction about the shaft), rad.
    """

    trocar_mm: jax.Array
    shaft: jax.Array
    depth_mm: jax.Array
    oblique: jax.Array

    def aim(self, shape, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        del shape
        side, up, slide = self.sway_mm.at(t)
        along = self.shaft[2] + (side * self.shaft[0] + up * self.shaft[1]) / self.depth_mm
        along = along / jnp.linalg.norm(along)
        position = self.trocar_mm + (self.depth_mm + slide) * along
        angle, about = self.oblique
        across = jnp.cos(about) * self.shaft[0] + jnp.sin(about) * self.shaft[1]
        return position, position + 50.0 * (jnp.cos(angle) * along + jnp.sin(angle) * across)


def sway_of(d: Draws, amplitude_mm: jax.Array, share: jax.Array, pace: jax.Array) -> Sines:
    """Sines of [SWAYS,3] amplitudes whose fastest speed is `share` [SWAYS,1] of `pace` (mm a frame) or less."""
    period = 2 * jnp.pi * amplitude_mm / (share * pace) * d.uniform(1.0, 1.4, (SWAYS, 3))
    return Sines(amplitude_mm, period, d.uniform(0.0, 1.0, (SWAYS, 3)))


def draw_look(d: Draws, liveliness: float = 1.0) -> Sines:
    """How the camera turns in the hand; `liveliness` scales its rates."""
    look = jnp.array([[0.22], [0.06], [0.002]], jnp.float32) * d.uniform(0.3, 1.0, (SWAYS, 3))
    rates = liveliness * jnp.array(LOOK_RATES, jnp.float32)[:, None]
    return Sines(look, 2 * jnp.pi * look / rates, d.uniform(0.0, 1.0, (SWAYS, 3)))


def draw_tube_path(key: jax.Array, shape, speed: jax.Array, aside: float = 0.7) -> TubePath:
    """An endoscope in a tube with `radius_mm`, `clear_mm` (free of folds) and `reach_mm`.

    Two in three look down the tube, the others up to `aside` (rad) at its side.
    """
    d = Draws(key)
    pace = d.uniform(speed[0], speed[1])
    wide = shape.clear_mm * jnp.array([1.0, 1.0, 0.2], jnp.float32)
    sway = wide * jnp.array([[0.2], [0.06], [0.005]], jnp.float32) * d.uniform(0.3, 1.0, (SWAYS, 3))
    turned = jnp.where(d.chance(1 / 3) > 0, aside, 0.15) * d.uniform(-1.0, 1.0, (2,))
    gaze = jnp.concatenate([turned, d.uniform(-jnp.pi, jnp.pi, (1,))])
    return TubePath(
        sway_mm=sway_of(d, sway, jnp.array([[0.25], [0.15], [0.06]], jnp.float32), pace),
        look_rad=draw_look(d),
        gaze_rad=gaze,
        margin_mm=shape.margin_mm,
        advance=jnp.stack([2.0 * shape.reach_mm / (0.9 * pace), d.uniform(0.0, 1.0)]),
        reach_mm=jnp.asarray(shape.reach_mm, jnp.float32),
        ahead_mm=d.uniform(2.2, 3.4) * shape.radius_mm,
    )
