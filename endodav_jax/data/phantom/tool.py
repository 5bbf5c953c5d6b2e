"""An instrument in the camera's view: a round rod that comes in, works and goes, met by rays in closed form."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.rods import meet_rod
from endodav_jax.data.phantom.shapes import Points


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tool:
    """In camera coordinates, mm.

    Attributes:
      base: [3] where the shaft comes from, out of view.
      tip: [3] where it works.
      sway_mm: [3] amplitude of the tip's own motion, with `sway_period` [3] frames and `sway_phase` [3].
      reach: (mean, amplitude, period in frames, phase) of how far out it is, as a fraction of base to tip.
      radius: 0 is no tool.
      metal: [3] reflectance of the tip, `shaft` [3] of the shaft.
      tip_mm: length of the bare tip.
    """

    base: jax.Array
    tip: jax.Array
    sway_mm: jax.Array
    sway_period: jax.Array
    sway_phase: jax.Array
    reach: jax.Array
    radius: jax.Array
    metal: jax.Array
    shaft: jax.Array
    tip_mm: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, scope: str, chance: jax.Array) -> "Tool":
        """Forceps out of the endoscope's own channel, or a laparoscopic instrument from the side."""
        d = Draws(key)
        if scope == "flexible":
            angle = d.uniform(0.0, 2 * jnp.pi)
            side = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
            base = jnp.concatenate([side * d.uniform(4.0, 6.0), jnp.array([-6.0], jnp.float32)])
            tip = jnp.concatenate([side * d.uniform(0.5, 3.5), d.uniform(12.0, 24.0, (1,))])
            radius, sway = d.uniform(0.6, 1.4), 1.2
        else:
            angle = jnp.where(d.chance(0.5) > 0, 0.0, jnp.pi) + d.uniform(-0.5, 0.5)
            side = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
            base = jnp.concatenate([side * d.uniform(45.0, 60.0), d.uniform(8.0, 20.0, (1,))])
            tip = jnp.concatenate([side * d.uniform(2.0, 12.0), d.uniform(38.0, 55.0, (1,))])
            radius, sway = d.uniform(2.0, 3.5), 5.0
        return cls(
            base=base,
            tip=tip,
            sway_mm=sway * d.uniform(0.3, 1.0, (3,)),
            sway_period=d.uniform(50.0, 110.0, (3,)),
            sway_phase=d.uniform(0.0, 1.0, (3,)),
            reach=jnp.stack([d.uniform(0.6, 0.9), d.uniform(0.1, 0.5), d.uniform(80.0, 160.0), d.uniform(0.0, 1.0)]),
            radius=radius * d.chance(chance),
            metal=jnp.float32(1.0) * d.uniform(0.35, 0.6) * jnp.array([1.0, 1.0, 1.03], jnp.float32),
            shaft=d.uniform(0.03, 0.25) * d.uniform(0.9, 1.1, (3,)),
            tip_mm=radius * d.uniform(4.0, 8.0),
        )

    def ends(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Base and tip [3] in frame `t`."""
        mean, amplitude, period, phase = self.reach
        out = jnp.clip(mean + amplitude * jnp.sin(2 * jnp.pi * (t / period + phase)), 0.02, 1.0)
        tip = self.tip + self.sway_mm * jnp.sin(2 * jnp.pi * (t / self.sway_period + self.sway_phase))
        return self.base, self.base + out * (tip - self.base)

    def meet(self, rays: Points, t: jax.Array) -> tuple[jax.Array, Points, jax.Array]:
        """Where rays from the camera meet the rod.

        Args:
          rays: directions with z = 1, each [N].
          t: frame number.

        Returns:
          depth in mm (huge where it is missed), the unit normal, and the distance along the rod from its tip.
        """
        return meet_rod(rays, *self.ends(t), self.radius)

    def reflectance(self, from_tip: jax.Array) -> jax.Array:
        """Linear RGB reflectance [3,N] at a distance from the tip."""
        return jnp.where(from_tip < self.tip_mm, self.metal[:, None], self.shaft[:, None])
