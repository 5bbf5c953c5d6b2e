"""The blind end of a colon, a wide pouch that closes before the camera, as a signed field."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.colon import BRANCHES, POLYPS, ColonShape
from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points, smooth_min

RIDGES = 3  # bands of muscle that meet at the end
LEAST_TRAVEL_MM = 14.0  # of the camera; over less it would turn about in jerks
OPEN_MM = 400.0  # where the tube itself ends: far behind the wall that closes it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CaecumShape(ColonShape):
    """A tube as `ColonShape` has it, closed by a bowl with ridges that meet near its middle.

    Attributes:
      closed_mm: z of the bowl's deepest point.
      closed_slope: [2] how the bowl leans, in mm per mm.
      bowl: how far its rim comes forward, in radii.
      ridge_mm: height of the ridges.
      ridge_width: of a ridge, in radii.
      ridge_meet: [2] where the ridges meet, in radii off the axis.
      ridge_angle: [RIDGES] their directions, rad.
      nearest: how close the camera comes to the end, in radii.
    """

    closed_mm: jax.Array
    closed_slope: jax.Array
    bowl: jax.Array
    ridge_mm: jax.Array
    ridge_width: jax.Array
    ridge_meet: jax.Array
    ridge_angle: jax.Array
    nearest: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "CaecumShape":
        """Draws a pouch, and the piece of tube before it."""
        tube_key, key = jax.random.split(key)
        tube, d = ColonShape.draw(tube_key), Draws(key)
        spread = 2 * jnp.pi / RIDGES
        parts = {field.name: getattr(tube, field.name) for field in dataclasses.fields(tube)}
        nearest = d.uniform(0.7, 1.5)
        closed = nearest * tube.radius_mm + jnp.maximum(d.uniform(0.8, 2.6) * tube.radius_mm, LEAST_TRAVEL_MM)
        # Polyps sit on the wall before the end, the small bowel opens beside it.
        centre, start = tube.polyp_centre_mm, tube.branch_start_mm
        polyp_z, branch_z = closed * d.uniform(0.3, 0.95, (POLYPS,)), closed * d.uniform(0.4, 0.9, (BRANCHES,))
        moved = tube.centre(branch_z) - tube.centre(start[:, 2])
        parts |= {
            "ends_mm": jnp.stack([tube.ends_mm[0], jnp.float32(OPEN_MM)]),
            "polyp_centre_mm": centre + tube.centre(polyp_z) - tube.centre(centre[:, 2]),
            "branch_start_mm": start + moved,
            "branch_end_mm": tube.branch_end_mm + moved,
        }
        return cls(
            **parts,
            closed_mm=closed,
            closed_slope=d.uniform(-0.35, 0.35, (2,)),
            bowl=d.uniform(0.0, 0.6),
            ridge_mm=tube.radius_mm * d.uniform(0.0, 0.3),
            ridge_width=d.uniform(0.08, 0.25),
            ridge_meet=d.uniform(-0.35, 0.35, (2,)),
            ridge_angle=d.uniform(0.0, 2 * jnp.pi)
            + spread * (jnp.arange(RIDGES, dtype=jnp.float32) + d.uniform(-0.2, 0.2, (RIDGES,))),
            nearest=nearest,
        )

    @property
    def reach_mm(self) -> jax.Array:
        """How far along the tube the camera travels."""
        return self.closed_mm - self.nearest * self.radius_mm

    def wall(self, points: Points) -> jax.Array:
        """The tube with its folds and branches, closed at its end."""
        x, y, z = points
        centre = self.centre(self.closed_mm)
        across, up = x - centre[0], y - centre[1]
        radius = self.radius_mm
        rim = self.bowl * (across * across + up * up) / radius
        end = self.closed_mm + self.closed_slope[0] * across + self.closed_slope[1] * up - rim
        u, v = across - self.ridge_meet[0] * radius, up - self.ridge_meet[1] * radius
        for i in range(RIDGES):
            c, s = jnp.cos(self.ridge_angle[i]), jnp.sin(self.ridge_angle[i])
            along, off = c * u + s * v, (s * u - c * v) / (self.ridge_width * radius)
            there = jax.nn.sigmoid(6.0 * along / radius)
            end = end - self.ridge_mm * there * jnp.exp(-off * off)
        # The bowl and the ridges lean: a field in mm along z is steeper than a distance.
        closed = 0.75 * (end - z)
        return smooth_min(super().wall(points), closed, 0.35 * radius)
