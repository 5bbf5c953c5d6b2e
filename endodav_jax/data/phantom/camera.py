"""The hand that holds the camera, and its lens: poses as closed forms of the frame number."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.colon import REACH_MM, ColonShape
from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.organ import PIVOT_MM, OrganShape
from endodav_jax.data.phantom.trace import field_and_gradient

SWAYS = 3
_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Lens:
    """Intrinsics as fractions of the width, and the view's stop.

    Attributes:
      focal: fx = fy over the width.
      centre: [2] the principal point's offset from the image's centre, over the width.
      stop: (x, y, radius) of the round view over the height, from the image's centre; a radius of 9 is none.
      stop_cut: half height of the flat cut of the round view over the height; 9 is none.
    """

    focal: jax.Array
    centre: jax.Array
    stop: jax.Array
    stop_cut: jax.Array

    def intrinsics(self, height: int, width: int) -> jax.Array:
        """(fx, fy, cx, cy) in pixels, float32 [4]; integer coordinates are pixel centres."""
        middle = jnp.array([(width - 1) / 2, (height - 1) / 2], jnp.float32)
        centre = middle + self.centre * width
        return jnp.concatenate([jnp.stack([self.focal, self.focal]) * width, centre])

    def view_mask(self, height: int, width: int) -> jax.Array:
        """Which pixels the stop lets through, bool [H,W]."""
        y = ((jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2) / height)[:, None]
        x = ((jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2) / height)[None, :]
        inside = (x - self.stop[0]) ** 2 + (y - self.stop[1]) ** 2 <= self.stop[2] ** 2
        return inside & (jnp.abs(y) <= self.stop_cut) & (x == x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Path:
    """Sums of slow sines; `t` is the frame number, periods are in frames and phases in turns.

    Attributes:
      advance: (period, phase) of going in and out along a tube.
      sway_mm: [SWAYS,3] amplitudes of the position.
      sway_period: [SWAYS,3].
      sway_phase: [SWAYS,3].
      look_rad: [SWAYS,3] amplitudes of pitch, yaw and roll.
      look_period: [SWAYS,3].
      look_phase: [SWAYS,3].
      gaze_rad: (pitch, yaw, roll) that the camera keeps.
      ahead_mm: how far ahead the camera looks in a tube.
      margin_mm: the wall pushes the camera back within this distance.
    """

    advance: jax.Array
    sway_mm: jax.Array
    sway_period: jax.Array
    sway_phase: jax.Array
    look_rad: jax.Array
    look_period: jax.Array
    look_phase: jax.Array
    gaze_rad: jax.Array
    ahead_mm: jax.Array
    margin_mm: jax.Array

    def sway(self, t: jax.Array) -> jax.Array:
        """Offset of the position, [3] mm."""
        return (self.sway_mm * jnp.sin(2 * jnp.pi * (t / self.sway_period + self.sway_phase))).sum(0)

    def look(self, t: jax.Array) -> jax.Array:
        """(pitch, yaw, roll) away from where the path looks, rad."""
        return (self.look_rad * jnp.sin(2 * jnp.pi * (t / self.look_period + self.look_phase))).sum(0)


def draw_path(key: jax.Array, shape, speed: jax.Array) -> Path:
    """Draws a hand for a shape; periods follow from amplitudes, so that the speed stays as asked."""
    d = Draws(key)
    pace = d.uniform(speed[0], speed[1])
    if isinstance(shape, ColonShape):
        clear = shape.radius_mm - 1.3 * shape.fold_height_mm
        wide = clear * jnp.array([1.0, 1.0, 0.2], jnp.float32)
        sway = wide * jnp.array([[0.2], [0.06], [0.005]], jnp.float32) * d.uniform(0.3, 1.0, (SWAYS, 3))
        share = jnp.array([[0.25], [0.15], [0.06]], jnp.float32)
        margin = jnp.maximum(1.8, 0.13 * shape.radius_mm)
        # Two in three look down the tube, the others at its side.
        aside = jnp.where(d.chance(1 / 3) > 0, 0.7, 0.15) * d.uniform(-1.0, 1.0, (2,))
        gaze = jnp.concatenate([aside, d.uniform(-jnp.pi, jnp.pi, (1,))])
    else:
        sway = jnp.array([[12.0], [3.0], [0.05]], jnp.float32) * d.uniform(0.5, 1.0, (SWAYS, 3))
        sway = sway * jnp.array([1.0, 0.5, 0.8], jnp.float32)
        share = jnp.array([[0.6], [0.3], [0.06]], jnp.float32)
        margin = jnp.float32(6.0)
        gaze = d.uniform(-1.0, 1.0, (3,)) * jnp.array([0.15, 0.15, 0.3], jnp.float32)
    period = 2 * jnp.pi * sway / (share * pace) * d.uniform(1.0, 1.4, (SWAYS, 3))
    look = jnp.array([[0.22], [0.06], [0.002]], jnp.float32) * d.uniform(0.3, 1.0, (SWAYS, 3))
    return Path(
        advance=jnp.stack([2.0 * REACH_MM / (0.9 * pace), d.uniform(0.0, 1.0)]),
        sway_mm=sway,
        sway_period=period,
        sway_phase=d.uniform(0.0, 1.0, (SWAYS, 3)),
        look_rad=look,
        # Peak rates of 0.35, 0.22 and 0.08 degrees a frame an axis.
        look_period=2 * jnp.pi * look / jnp.array([[0.0061], [0.0038], [0.0014]], jnp.float32),
        look_phase=d.uniform(0.0, 1.0, (SWAYS, 3)),
        gaze_rad=gaze,
        ahead_mm=d.uniform(2.2, 3.4) * (shape.radius_mm if isinstance(shape, ColonShape) else 20.0),
        margin_mm=margin,
    )


def camera_pose(shape, path: Path, t: jax.Array) -> jax.Array:
    """`cam_from_world` [4,4] float32 of frame number `t`."""
    if isinstance(shape, ColonShape):
        round_trip = t / path.advance[0] + path.advance[1]
        # A rounded triangle wave: nearly constant speed, smooth turns.
        z = REACH_MM * (0.5 + jnp.arcsin(0.96 * jnp.sin(2 * jnp.pi * round_trip)) / (2 * jnp.arcsin(0.96)))
        position = shape.centre(z) + path.sway(t)
        target = shape.centre(z + path.ahead_mm) + 0.3 * path.sway(t)
        target = target + (position - shape.centre(z)) * jnp.array([0.0, 0.0, 1.0], jnp.float32)
        up = jnp.array([0.0, -1.0, 0.0], jnp.float32)
    elif isinstance(shape, OrganShape):
        position = jnp.array(PIVOT_MM, jnp.float32) + path.sway(t)
        target = jnp.array([0.0, 32.0, 18.0], jnp.float32) - 0.3 * path.sway(t)
        up = jnp.array([0.0, -1.0, 0.0], jnp.float32)
    else:
        raise TypeError(f"no path for {type(shape).__name__}")
    position = _away_from_wall(shape, position, path.margin_mm)
    turn = _turn(*(path.gaze_rad + path.look(t)))
    cam_from_world = jnp.matmul(turn, _look_at(target - position, up), precision=_HIGHEST)
    translation = -jnp.matmul(cam_from_world, position, precision=_HIGHEST)
    top = jnp.concatenate([cam_from_world, translation[:, None]], 1)
    return jnp.concatenate([top, jnp.array([[0, 0, 0, 1]], jnp.float32)])


def _away_from_wall(shape, position: jax.Array, margin: jax.Array) -> jax.Array:
    """Moves up the field's gradient by as much as the margin is undercut, smoothly in the position."""
    soft = 0.2 * margin

    def push(_, position):
        value, gradient = field_and_gradient(shape.field, tuple(position))
        gradient = jnp.stack(gradient)
        steep = jnp.linalg.norm(gradient)
        short = soft * jax.nn.softplus((margin - value) / soft)
        return position + 0.5 * short * gradient / jnp.maximum(steep, 1e-3)

    return jax.lax.fori_loop(0, 6, push, position)


def _look_at(forward: jax.Array, up: jax.Array) -> jax.Array:
    """Rotation [3,3] camera from world, z along `forward`, y (down) away from `up`."""
    z = forward / jnp.linalg.norm(forward)
    x = jnp.cross(z, up)
    x = x / jnp.linalg.norm(x)
    return jnp.stack([x, jnp.cross(z, x), z])


def _turn(pitch: jax.Array, yaw: jax.Array, roll: jax.Array) -> jax.Array:
    """Rotation [3,3] by roll about z, then yaw about y, then pitch about x."""
    one, zero = jnp.float32(1.0), jnp.float32(0.0)

    def matrix(*rows):
        return jnp.stack([jnp.stack(row) for row in rows])

    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (jnp.cos, jnp.sin))
    about_x = matrix((one, zero, zero), (zero, cp, -sp), (zero, sp, cp))
    about_y = matrix((cy, zero, sy), (zero, one, zero), (-sy, zero, cy))
    about_z = matrix((cr, -sr, zero), (sr, cr, zero), (zero, zero, one))
    return jnp.matmul(jnp.matmul(about_x, about_y, precision=_HIGHEST), about_z, precision=_HIGHEST)
