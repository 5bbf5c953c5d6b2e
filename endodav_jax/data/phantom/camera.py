"""The camera: its lens, and its pose along the path of a hand."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.paths import UP, Path
from endodav_jax.data.phantom.trace import field_and_gradient

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


def camera_pose(shape, path: Path, t: jax.Array) -> jax.Array:
    """`cam_from_world` [4,4] float32 of frame number `t`."""
    position, target = path.aim(shape, t)
    up = jnp.array(UP, jnp.float32)
    position = _away_from_wall(shape, position, path.margin_mm)
    turn = _turn(*(path.gaze_rad + path.look_rad.at(t)))
    cam_from_world = jnp.matmul(turn, _look_at(target - position, up), precision=_HIGHEST)
    translation = -jnp.matmul(cam_from_world, position, precision=_HIGHEST)
    top = jnp.concatenate([cam_from_world, translation[:, None]], 1)
    return jnp.concatenate([top, jnp.array([[0, 0, 0, 1]], jnp.float32)])


def _away_from_wall(shape, position: jax.Array, margin: jax.Array) -> jax.Array:
    """Moves a position that is within the margin up the field's gradient and out of it, smoothly in the position."""
    soft = 0.2 * margin

    def push(_, position):
        value, gradient = field_and_gradient(shape.clearance, tuple(position))
        slope = jnp.stack(gradient)
        steep = jnp.linalg.norm(slope)
        short = soft * jax.nn.softplus((margin - value) / soft)
        return position + 0.5 * short * slope / jnp.maximum(steep, 1e-3)

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
