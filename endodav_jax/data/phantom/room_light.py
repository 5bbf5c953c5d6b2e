"""Standing lamps with shadows, in addition to one that the camera may carry."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points

STANDING = 2
SOFT_MM = 12.0  # lamps are not points: nothing is lit more than at this distance


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RoomLight:
    """Standing lamps cast shadows of solids; light from everywhere fills them.

    Attributes:
      lamp_mm: [STANDING,3] in the world.
      power: [STANDING + 1] of them and of the camera's own lamp, as reflectances at `reach_mm`.
      colour: [STANDING + 1,3].
      reach_mm: distance at which a lamp lights as much as its power says.
      sky: [3] light from everywhere, more of it from above.
      flat: 1 for light from everywhere alone that does not move, else 0.
    """

    lamp_mm: jax.Array
    power: jax.Array
    colour: jax.Array
    reach_mm: jax.Array
    sky: jax.Array
    flat: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, room_mm: jax.Array, flat: jax.Array) -> "RoomLight":
        """Lamps anywhere in the room above the floor; one scene in three is lit by the camera most of all."""
        d = Draws(key)
        spread = d.uniform(-0.8, 0.8, (STANDING, 3)) * jnp.array([1.0, 0.5, 1.0], jnp.float32)
        spread = spread - jnp.array([0.0, 0.4, 0.0], jnp.float32)
        carried = d.chance(1 / 3)
        own = jnp.where(carried > 0, d.uniform(0.6, 2.0), d.uniform(0.0, 0.15))
        standing = d.uniform(0.2, 1.0, (STANDING,)) * jnp.where(carried > 0, d.uniform(0.0, 0.5), 1.0)
        warm = d.uniform(-0.25, 0.25, (STANDING + 1,))
        return cls(
            lamp_mm=spread * room_mm,
            power=jnp.concatenate([standing, own[None]]),
            colour=jnp.stack([1.0 + warm, jnp.ones(STANDING + 1, jnp.float32), 1.0 - warm], -1),
            reach_mm=d.uniform(0.4, 1.0) * jnp.linalg.norm(room_mm),
            sky=d.uniform(0.05, 0.5) * d.uniform(0.85, 1.15, (3,)),
            flat=flat,
        )

    def radiance(
        self,
        hit: Points,
        normal: Points,
        film: Points,
        sun: jax.Array,
        reflectance: jax.Array,
        gloss: jax.Array,
        shine: jax.Array,
        cam_from_world: jax.Array,
        lit_from: Callable[[jax.Array], jax.Array],
        shade: Callable[[jax.Array], jax.Array] | None = None,
        carried_mm: jax.Array | None = None,
    ) -> jax.Array:
        """Linear RGB [3,N], as `Light.radiance`; `lit_from` says which points a lamp [3] in the world reaches."""
        inverse = jax.lax.rsqrt(hit[0] ** 2 + hit[1] ** 2 + hit[2] ** 2 + 1e-9)
        to_eye = tuple(-c * inverse for c in hit)
        waved = tuple(n + f for n, f in zip(normal, film, strict=True))
        waved_inverse = jax.lax.rsqrt(sum(w * w for w in waved) + 1e-9)
        # The world's up is -y.
        up = -sum(cam_from_world[i, 1] * n for i, n in enumerate(normal))
        lit = self.sky[:, None] * (0.7 + 0.3 * up)
        highlights: jax.Array | float = 0.0
        for i in range(STANDING + 1):
            if i < STANDING:
                turned = [sum(cam_from_world[r, c] * self.lamp_mm[i, c] for c in range(3)) for r in range(3)]
                lamp: Sequence[jax.Array | float] = [a + cam_from_world[r, 3] for r, a in enumerate(turned)]
                there: jax.Array | float = lit_from(self.lamp_mm[i]).astype(jnp.float32)
                reach = self.reach_mm
            else:
                lamp, there, reach = (0.0, 0.0, 0.0), 1.0, 0.3 * self.reach_mm
                lamp = lamp if carried_mm is None else tuple(carried_mm)
            if shade is not None:
                there = there * shade(jnp.stack([jnp.asarray(c, jnp.float32) for c in lamp]))
            to_lamp = tuple(p - c for p, c in zip(lamp, hit, strict=True))
            distance2 = sum(c * c for c in to_lamp)
            near = jax.lax.rsqrt(distance2 + 1e-9)
            to_lamp = tuple(c * near for c in to_lamp)
            cosine = jnp.maximum(sum(a * b for a, b in zip(normal, to_lamp, strict=True)), 0.0)
            arriving = there * self.power[i] * reach**2 / (distance2 + SOFT_MM**2)
            half = tuple(a + b for a, b in zip(to_lamp, to_eye, strict=True))
            half_inverse = jax.lax.rsqrt(sum(h * h for h in half) + 1e-9)
            facing = sum(a * b for a, b in zip(waved, half, strict=True)) * waved_inverse * half_inverse
            lobe = jnp.exp(-gloss * (1.0 - facing)) * (gloss + 2.0) * 0.125
            lit = lit + self.colour[i][:, None] * (arriving * cosine)
            highlights = highlights + self.colour[i][:, None] * (arriving * shine * lobe * (cosine > 0))
        return jnp.where(self.flat > 0, reflectance * (0.7 + 0.3 * sun), reflectance * lit + highlights)
