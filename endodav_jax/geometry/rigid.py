"""Rigid motions as 4x4 matrices: `cam_b_from_cam_a` maps a's points into b."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Added to the angle where the axis is normalised, as the published programs do.
ANGLE_EPSILON = 1e-7
# Below it (radians) the series of sine and cosine are exact in float32 and the epsilon above is left out, so that
# the derivative at zero motion is the true one instead of none.
SMALL_ANGLE = 1e-6


def rigid_from_axis_angle(
    axis_angle: Float[Array, "*N 3"], translation: Float[Array, "*N 3"], inverse: bool = False
) -> Float[Array, "*N 4 4"]:
    """Returns the motion that rotates about `axis_angle` (radians) and then moves by `translation`, or its inverse.

    Rodrigues' formula, R = I + sin(a)/a [v] + (1 - cos(a))/a² [v]², with finite and true derivatives at v = 0.
    """
    square = jnp.sum(axis_angle**2, -1)
    small = square < SMALL_ANGLE**2
    angle = jnp.sqrt(jnp.where(small, 1, square))  # the untaken branch must have a finite derivative too
    sine = jnp.where(small, 1 - square / 6, jnp.sin(angle) / (angle + ANGLE_EPSILON))
    # 1 - cos(a) = 2 sin²(a/2) keeps its digits at small angles.
    cosine = jnp.where(small, 0.5 - square / 24, 2 * jnp.sin(angle / 2) ** 2 / (angle + ANGLE_EPSILON) ** 2)
    x, y, z = (axis_angle[..., i] for i in range(3))
    one = 1 - cosine * square
    rotation = [
        [one + cosine * x * x, cosine * x * y - sine * z, cosine * x * z + sine * y],
        [cosine * x * y + sine * z, one + cosine * y * y, cosine * y * z - sine * x],
        [cosine * x * z - sine * y, cosine * y * z + sine * x, one + cosine * z * z],
    ]
    matrix = _matrix(rotation, [translation[..., i] for i in range(3)])
    return invert_rigid(matrix) if inverse else matrix


def invert_rigid(matrix: Float[Array, "*N 4 4"]) -> Float[Array, "*N 4 4"]:
    """Returns the inverse motion, [Rᵀ | -Rᵀ t]."""
    r = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    t = [matrix[..., i, 3] for i in range(3)]
    transposed = [[r[j][i] for j in range(3)] for i in range(3)]
    return _matrix(transposed, [-sum(row[k] * t[k] for k in range(3)) for row in transposed])


def _matrix(rotation, translation) -> Float[Array, "*N 4 4"]:
    """Stacks three rows of three entries and a column of three, [N] each, into homogeneous matrices."""
    zero, one = jnp.zeros_like(translation[0]), jnp.ones_like(translation[0])
    rows = [jnp.stack([*row, t], -1) for row, t in zip(rotation, translation, strict=True)]
    return jnp.stack([*rows, jnp.stack([zero, zero, zero, one], -1)], -2)
