"""Where rays meet a signed field: cones of rays on coarse grids first, then each pixel's own ray.

Plain sphere tracing divides the field by its steepest gradient and crawls along walls that it sees at a slant, which
is all a tube shows.  Here a step is the largest one that a field with the slope measured at the point and at most
`curvature` of concave second derivative can take without reaching zero.  Far from a wall that is as safe as a
sphere; near it, it turns into Newton's method.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.shapes import Points

Field = Callable[[Points], jax.Array]

CONE_CELLS = (8, 2)  # pixels a side of the cells that are marched together first
CONE_STEPS = (16, 4)
PIXEL_STEPS = 9
STRAGGLERS = ((4, 12), (8, 24), (32, 64))  # (one ray in so many, at most so many steps) go on after the others
NEAREST_MM = 0.5
HIT_MM = 0.01  # a hit's largest |field|
ARRIVED_MM = 0.5 * HIT_MM  # before the last step, which is Newton's and leaves far less


def ray_directions(intrinsics: jax.Array, height: int, width: int, cell: int) -> Points:
    """Directions with z = 1 in camera coordinates through the middles of cells, each [height/cell * width/cell]."""
    fx, fy, cx, cy = intrinsics
    middle = (cell - 1) / 2
    u = (jnp.arange(width // cell, dtype=jnp.float32) * cell + middle - cx) / fx
    v = (jnp.arange(height // cell, dtype=jnp.float32) * cell + middle - cy) / fy
    x = jnp.broadcast_to(u, (height // cell, width // cell)).reshape(-1)
    y = jnp.broadcast_to(v[:, None], (height // cell, width // cell)).reshape(-1)
    return x, y, jnp.ones_like(x)


def rotate(rotation: jax.Array, vectors: Points) -> Points:
    """`rotation` [3,3] times vectors given by their coordinates."""
    x, y, z = vectors
    return tuple(row[0] * x + row[1] * y + row[2] * z for row in rotation)


def points_at(origin: jax.Array, directions: Points, depth: jax.Array) -> Points:
    """`origin` [3] + depth * directions."""
    return tuple(o + depth * d for o, d in zip(origin, directions, strict=True))


def field_gradient(field: Field, points: Points) -> tuple[jax.Array, Points]:
    """The field and its gradient, by three forward passes: on a CPU they fuse, a backward pass does not."""
    one, zero = jnp.ones_like(points[0]), jnp.zeros_like(points[0])
    value, gradient = None, []
    for axis in range(3):
        value, slope = jax.jvp(field, (points,), (tuple(one if i == axis else zero for i in range(3)),))
        gradient.append(slope)
    return value, tuple(gradient)


def trace(
    field: Field, curvature: jax.Array, cam_from_world: jax.Array, intrinsics: jax.Array, height: int, width: int
) -> jax.Array:
    """Depth along z where each pixel's ray leaves free space.

    Args:
      field: positive in free space, mm, in world coordinates.
      curvature: upper bound of the field's concave second derivatives, per mm.
      cam_from_world: [4,4].
      intrinsics: [4].
      height: multiple of 8.
      width: multiple of 8.

    Returns:
      depth_mm [H*W] float32.
    """
    world_from_cam = cam_from_world[:3, :3].T
    origin = -world_from_cam @ cam_from_world[:3, 3]
    depth = jnp.full((height // CONE_CELLS[0], width // CONE_CELLS[0]), NEAREST_MM, jnp.float32)
    for cell, steps in zip(CONE_CELLS, CONE_STEPS, strict=True):
        directions = rotate(world_from_cam, ray_directions(intrinsics, height, width, cell))
        # Half a cell's diagonal at z = 1.
        widening = 0.5 * cell * jnp.sqrt(1 / intrinsics[0] ** 2 + 1 / intrinsics[1] ** 2)
        depth = _spread(depth, height // cell, width // cell)
        depth = _march_cones(field, curvature, origin, directions, depth.reshape(-1), steps, widening)
        depth = depth.reshape(height // cell, width // cell)
    directions = rotate(world_from_cam, ray_directions(intrinsics, height, width, 1))
    depth = _spread(depth, height, width).reshape(-1)
    depth, free, value = _march(field, curvature, origin, directions, depth, PIXEL_STEPS)
    for share, steps in STRAGGLERS:
        late = jnp.nonzero(jnp.abs(value) > ARRIVED_MM, size=depth.size // share, fill_value=0)[0]
        some = _march(field, curvature, origin, tuple(d[late] for d in directions), free[late], steps)
        depth, free, value = (a.at[late].set(b) for a, b in zip((depth, free, value), some, strict=True))
    return depth


def _march_cones(field, curvature, origin, directions, depth, steps, widening):
    """Advances cones of radius `widening` * depth as far as all of their rays are sure to be free."""
    length = jnp.sqrt(sum(d * d for d in directions))
    bend = curvature * (length + widening) ** 2

    def step(_, t):
        value, gradient = field_gradient(field, points_at(origin, directions, t))
        steep = jnp.sqrt(sum(g * g for g in gradient))
        # The least value over the cone's cross-section, and how fast that falls.
        free = value - widening * t * (steep + 0.5 * curvature * widening * t)
        slope = sum(g * d for g, d in zip(gradient, directions, strict=True))
        slope = slope - widening * (steep + curvature * widening * t)
        return t + _safe_step(jnp.maximum(free, 0.0), slope, bend)

    return jax.lax.fori_loop(0, steps, step, depth)


def _march(field, curvature, origin, directions, depth, steps):
    """Advances single rays from `depth`, known to be free.

    Returns:
      (depth, farthest depth known to be free, field at the depth before the last step).
    """
    bend = curvature * sum(d * d for d in directions)

    def step(state):
        count, t, free, _ = state
        value, slope = jax.jvp(lambda t: field(points_at(origin, directions, t)), (t,), (jnp.ones_like(t),))
        free = jnp.where(value > 0, t, free)
        forward = t + _safe_step(jnp.maximum(value, 0.0), slope, bend)
        # Behind the wall: Newton's step back, or halfway where that leads on through a thin fold.
        newton = t - value / jnp.minimum(slope, -1e-3)
        back = jnp.where((slope < 0) & (newton > free), newton, 0.5 * (t + free))
        return count + 1, jnp.where(value > 0, forward, back), free, value

    def under_way(state):
        count, _, _, value = state
        return (count < steps) & jnp.any(jnp.abs(value) > ARRIVED_MM)

    return jax.lax.while_loop(under_way, step, (0, depth, depth, jnp.ones_like(depth)))[1:]


def _safe_step(value, slope, bend):
    """Root of value + slope s - bend s^2 / 2, for value >= 0."""
    return 2.0 * value / (jnp.sqrt(slope * slope + 2.0 * bend * value) - slope + 1e-9)


def _spread(grid, height, width):
    """Hands the values of coarse cells to the finer cells within them."""
    grid = jnp.repeat(grid, height // grid.shape[0], 0)
    return jnp.repeat(grid, width // grid.shape[1], 1)
