"""Intersects rays with a signed field: first cones of rays on a coarse grid, then each pixel's own ray.

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
RaysOf = Callable[[jax.Array, int, int, int], Points]  # (intrinsics, height, width, cell) -> directions, as below

CONE_CELL = 4  # pixels a side of the cells that are marched together first
CONE_STEPS = 14
FEW = 8  # once no more than one ray in this many is unfinished, only those are continued
PIXEL_STEPS = (60, 200)  # maximum number of steps before and after that; typically 10 and 40
NEAREST_MM = 0.5
HIT_MM = 0.01  # a hit's largest |field|
GRADIENT_STEP_MM = 0.05
SLOPE_STEP_MM = 0.03
ARRIVED_MM = 0.5 * HIT_MM  # before the last step, which is Newton's and leaves far less


def ray_directions(intrinsics: jax.Array, height: int, width: int, cell: int = 1) -> Points:
    """Directions with z = 1 in camera coordinates through the middles of cells, each [rows * columns of cells].

    Cells of `cell` pixels a side start at the top left; the last ones may reach over the edge.
    """
    fx, fy, cx, cy = intrinsics
    rows, columns = -(-height // cell), -(-width // cell)
    middle = (cell - 1) / 2
    u = (jnp.arange(columns, dtype=jnp.float32) * cell + middle - cx) / fx
    v = (jnp.arange(rows, dtype=jnp.float32) * cell + middle - cy) / fy
    x = jnp.broadcast_to(u, (rows, columns)).reshape(-1)
    y = jnp.broadcast_to(v[:, None], (rows, columns)).reshape(-1)
    return x, y, jnp.ones_like(x)


def rotate(rotation: jax.Array, vectors: Points) -> Points:
    """`rotation` [3,3] times vectors given by their coordinates."""
    x, y, z = vectors
    return tuple(row[0] * x + row[1] * y + row[2] * z for row in rotation)


def pose_of_rays(cam_from_world: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(rotation world from camera [3,3], the camera's place in the world [3] mm), in full float32 on any device."""
    world_from_cam = cam_from_world[:3, :3].T
    return world_from_cam, -jnp.matmul(world_from_cam, cam_from_world[:3, 3], precision=jax.lax.Precision.HIGHEST)


def points_at(origin: jax.Array, directions: Points, depth: jax.Array) -> Points:
    """`origin` [3] + depth * directions."""
    return tuple(o + depth * d for o, d in zip(origin, directions, strict=True))


def field_and_gradient(field: Field, points: Points) -> tuple[jax.Array, Points]:
    """The field, and its gradient by central differences at a tetrahedron's corners: five values in one call.

    Automatic differentiation gives the same to 1e-3 but fuses badly: three times as slow here, six times to compile.
    """
    corners = jnp.array([(0, 0, 0), (1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)], jnp.float32)
    offsets = (GRADIENT_STEP_MM * corners).reshape(5, 3, *(1,) * points[0].ndim)
    values = field(tuple(p + offsets[:, axis] for axis, p in enumerate(points)))
    weights = jnp.concatenate([jnp.eye(1, 5), corners.T / (4 * GRADIENT_STEP_MM)])
    value, *gradient = _combine(weights, values)
    return value, tuple(gradient)


def trace(
    field: Field,
    curvature: jax.Array,
    cam_from_world: jax.Array,
    intrinsics: jax.Array,
    height: int,
    width: int,
    rays_of: RaysOf = ray_directions,
) -> jax.Array:
    """Depth along z where each pixel's ray leaves free space.

    Args:
      field: positive in free space, mm, in world coordinates.
      curvature: upper bound of the field's concave second derivatives, per mm.
      cam_from_world: [4,4].
      intrinsics: [4].
      height: in pixels.
      width: in pixels.
      rays_of: the lens.

    Returns:
      depth_mm [H*W] float32.
    """
    world_from_cam, origin = pose_of_rays(cam_from_world)
    directions = rotate(world_from_cam, rays_of(intrinsics, height, width, CONE_CELL))
    if rays_of is ray_directions:  # half a cell's diagonal at z = 1
        widening = 0.5 * CONE_CELL * jnp.sqrt(1 / intrinsics[0] ** 2 + 1 / intrinsics[1] ** 2)
    else:
        widening = _cell_radius(rays_of, intrinsics, height, width)
    depth = _march_cones(field, curvature, origin, directions, widening)
    depth = depth.reshape(-(-height // CONE_CELL), -1)
    depth = jnp.repeat(jnp.repeat(depth, CONE_CELL, 0), CONE_CELL, 1)[:height, :width].reshape(-1)
    directions = rotate(world_from_cam, rays_of(intrinsics, height, width, 1))
    state = (depth, depth, jnp.ones_like(depth))
    few = depth.size // FEW
    state = _march(field, curvature, origin, directions, state, few, PIXEL_STEPS[0])
    late = jnp.nonzero(_under_way(state), size=few, fill_value=0)[0]
    some, ways = tuple(s[late] for s in state), tuple(d[late] for d in directions)
    some = _march(field, curvature, origin, ways, some, 0, PIXEL_STEPS[1])
    return state[0].at[late].set(some[0])


def _cell_radius(rays_of: RaysOf, intrinsics: jax.Array, height: int, width: int) -> jax.Array:
    """Largest distance at z = 1 of the rays through each cell's corners from the one through its middle: [cells]."""
    rows, columns = -(-height // CONE_CELL), -(-width // CONE_CELL)
    middles = rays_of(intrinsics, height, width, CONE_CELL)
    # Edges of the cells: corner (i, j) is half a pixel above and left of the cell's first pixel.
    shifted = intrinsics + jnp.array([0.0, 0.0, 0.5 + (CONE_CELL - 1) / 2, 0.5 + (CONE_CELL - 1) / 2])
    corners = rays_of(shifted, CONE_CELL * (rows + 1), CONE_CELL * (columns + 1), CONE_CELL)
    far = jnp.zeros((rows, columns))
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        offsets = (
            corner.reshape(rows + 1, columns + 1)[i : i + rows, j : j + columns] - middle.reshape(rows, columns)
            for corner, middle in zip(corners, middles, strict=True)
        )
        far = jnp.maximum(far, jnp.sqrt(sum(offset * offset for offset in offsets)))
    return far.reshape(-1)


def _march_cones(field, curvature, origin, directions, widening):
    """Advances cones of radius `widening` * depth as far as all of their rays are certain to be free."""
    length = jnp.sqrt(sum(d * d for d in directions))
    bend = curvature * (length + widening) ** 2

    def step(_, t):
        value, gradient = field_and_gradient(field, points_at(origin, directions, t))
        steep = jnp.sqrt(sum(g * g for g in gradient))
        # The least value over the cone's cross-section, and how fast that falls.
        free = value - widening * t * (steep + 0.5 * curvature * widening * t)
        slope = sum(g * d for g, d in zip(gradient, directions, strict=True))
        slope = slope - widening * (steep + curvature * widening * t)
        return t + _safe_step(jnp.maximum(free, 0.0), slope, bend)

    return jax.lax.fori_loop(0, CONE_STEPS, step, jnp.full_like(directions[0], NEAREST_MM))


def _march(field, curvature, origin, directions, state, left, steps):
    """Advances single rays until at most `left` are under way, or for `steps`.

    Args:
      state: (depth, farthest depth known to be free, field at the depth before the last step).

    Returns:
      the new state.
    """
    bend = curvature * sum(d * d for d in directions)

    def step(state):
        count, t, free, _ = state
        values = field(points_at(origin, directions, jnp.stack([t, t + SLOPE_STEP_MM])))
        value, slope = _combine(jnp.array([[1, 0], [-1 / SLOPE_STEP_MM, 1 / SLOPE_STEP_MM]], jnp.float32), values)
        free = jnp.where(value > 0, t, free)
        forward = t + _safe_step(jnp.maximum(value, 0.0), slope, bend)
        # Behind the wall: Newton's step back, or halfway where that leads on through a thin fold.
        newton = t - value / jnp.minimum(slope, -1e-3)
        back = jnp.where((slope < 0) & (newton > free), newton, 0.5 * (t + free))
        return count + 1, jnp.where(value > 0, forward, back), free, value

    def busy(state):
        return (state[0] < steps) & (_under_way(state[1:]).sum() > left)

    return jax.lax.while_loop(busy, step, (0, *state))[1:]


def _under_way(state):
    return jnp.abs(state[2]) > ARRIVED_MM


def _safe_step(value, slope, bend):
    """Root of value + slope s - bend s^2 / 2, for value >= 0."""
    return 2.0 * value / (jnp.sqrt(slope * slope + 2.0 * bend * value) - slope + 1e-9)


def _combine(weights: jax.Array, values: jax.Array) -> jax.Array:
    """`weights` [M,K] times `values` [K,...].

    A matrix product, and not sums of slices, so that the values are stored: XLA's fusion on CPUs would otherwise
    compute the whole field anew for every slice and every use of it.
    """
    return jnp.tensordot(weights, values, 1, precision=jax.lax.Precision.HIGHEST)
