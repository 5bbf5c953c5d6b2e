"""Metal instruments: shafts with two jaws that are lit like metal and cast shadows on the tissue they touch."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.rods import FAR_MM, distance, meet_rod, nearest_pass
from endodav_jax.data.phantom.shapes import Points
from endodav_jax.data.phantom.texture import noise

RODS = 3  # of an instrument: the shaft and two jaws
NARROW_MM = 13.0  # with no more free space than this around the camera, instruments come along the endoscope
LAMP_MM = 0.8  # radius of a lamp, for the softness of shadows

_HOLDS = 6  # steps in which tissue holds an instrument back


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Instruments:
    """K instruments in camera coordinates, mm; each comes from outside the view and goes until tissue stops it.

    Attributes:
      base: [K,3] where the shaft comes from, out of view.
      tip: [K,3] where it works, if nothing is in its way.
      sway_mm: [K,3] amplitude of the tip's own motion, with `sway_period` [K,3] frames and `sway_phase` [K,3].
      reach: [K,4] (mean, amplitude, period in frames, phase) of how far out it is, as a fraction of base to tip.
      radius: [K] of the shaft; 0 is no instrument.
      jaw_mm: [K] length of the jaws.
      open_rad: [K,4] (mean, amplitude, period in frames, phase) of half the angle between the jaws.
      hinge: [K] angle of the hinge about the shaft, rad.
      metal: [K,3] linear RGB reflectance of bare metal, `sleeve` [K,3] of what covers the shaft.
      bare_mm: [K] length of bare metal at the shaft's end; beyond all length where nothing covers it.
      gloss: [K] sharpness of highlights.
      shine: [K] strength of highlights.
      seed: uint32, of the scratches.
      shadow: 1 where lamps throw shadows, 0 in an ideal world without.
    """

    base: jax.Array
    tip: jax.Array
    sway_mm: jax.Array
    sway_period: jax.Array
    sway_phase: jax.Array
    reach: jax.Array
    radius: jax.Array
    jaw_mm: jax.Array
    open_rad: jax.Array
    hinge: jax.Array
    metal: jax.Array
    sleeve: jax.Array
    bare_mm: jax.Array
    gloss: jax.Array
    shine: jax.Array
    seed: jax.Array
    shadow: jax.Array

    @classmethod
    def draw(
        cls, key: jax.Array, most: int, scope: str, space_mm: jax.Array, specular: jax.Array, shadow: jax.Array
    ) -> "Instruments":
        """Draws 0 to `most` instruments; `space_mm` is how far the camera is off the nearest wall, typically."""
        d = Draws(key)
        many = (most,)
        # Spread in turn around the full circle, so that they do not start inside each other.
        angle = 2 * jnp.pi * (d.uniform(0.0, 1.0) + (jnp.arange(most) + d.uniform(-0.3, 0.3, many)) / most)
        side = jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
        far = jnp.clip(2.5 * space_mm, 12.0, 90.0)

        def place(off, deep):
            return jnp.concatenate([side * off[:, None], deep[:, None]], -1)

        narrow = (space_mm < NARROW_MM) | (scope == "flexible")
        beside = place(d.uniform(4.5, 6.5, many), d.uniform(-8.0, -4.0, many))
        across = place(far * d.uniform(0.9, 1.2, many), far * d.uniform(0.05, 0.35, many))
        ahead = place(d.uniform(0.5, 4.5, many), far * d.uniform(0.4, 0.85, many))
        under = place(far * d.uniform(-0.05, 0.22, many), far * d.uniform(0.65, 1.2, many))
        radius = jnp.where(narrow, d.uniform(0.5, 1.2, many), far * d.uniform(0.032, 0.05, many))
        count = jnp.floor(d.uniform(0.0, 1.0) * (most + 1))
        grey = d.uniform(0.4, 0.75, many)
        black = d.uniform(0.015, 0.09, many)
        return cls(
            base=jnp.where(narrow, beside, across),
            tip=jnp.where(narrow, ahead, under),
            sway_mm=jnp.where(narrow, 0.06, 0.1) * far * d.uniform(0.3, 1.0, (most, 3)),
            sway_period=d.uniform(45.0, 110.0, (most, 3)),
            sway_phase=d.uniform(0.0, 1.0, (most, 3)),
            reach=jnp.stack(
                [d.uniform(0.75, 1.0, many), d.uniform(0.05, 0.35, many), d.uniform(70.0, 150.0, many),
                 d.uniform(0.0, 1.0, many)], -1,
            ),
            radius=jnp.where(jnp.arange(most) < count, radius, 0.0),
            jaw_mm=radius * d.uniform(3.0, 6.0, many),
            open_rad=jnp.stack(
                [d.uniform(0.12, 0.4, many), d.uniform(0.0, 0.25, many), d.uniform(25.0, 90.0, many),
                 d.uniform(0.0, 1.0, many)], -1,
            ),
            hinge=d.uniform(0.0, jnp.pi, many),
            metal=grey[:, None] * jnp.array([1.0, 1.0, 1.02], jnp.float32),
            sleeve=black[:, None] * d.uniform(0.85, 1.15, (most, 3)),
            bare_mm=jnp.where(d.chance(0.4, many) > 0, 1e6, radius * d.uniform(1.5, 5.0, many)),
            gloss=jnp.exp(d.uniform(jnp.log(25.0), jnp.log(200.0), many)),
            shine=specular * d.uniform(0.1, 0.4, many),
            seed=jax.random.bits(d.key(), (), jnp.uint32),
            shadow=shadow,
        )  # fmt: skip

    def shifted(self, offset: jax.Array) -> "Instruments":
        """The same instruments for a camera whose origin lies at -offset [3] mm."""
        return dataclasses.replace(self, base=self.base + offset, tip=self.tip + offset)

    def rods(self, t: jax.Array, room: Callable[[Points], jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The rods in frame `t`: starts [K*RODS,3], ends [K*RODS,3] and radii [K*RODS], an instrument's together.

        Args:
          t: frame number.
          room: points in camera coordinates -> how far tissue is off them, mm, negative inside.
        """
        mean, amplitude, period, phase = self.reach.T
        out = jnp.clip(mean + amplitude * jnp.sin(2 * jnp.pi * (t / period + phase)), 0.02, 1.0)
        tip = self.tip + self.sway_mm * jnp.sin(2 * jnp.pi * (t / self.sway_period + self.sway_phase))
        length = jnp.linalg.norm(tip - self.base, axis=-1)
        axis = (tip - self.base) / length[:, None]
        mean, amplitude, period, phase = self.open_rad.T
        half = jnp.maximum(mean + amplitude * jnp.sin(2 * jnp.pi * (t / period + phase)), 0.02)
        gone = length * out

        def hold(_, gone):
            ends = self.base + (gone + self.jaw_mm)[:, None] * axis
            short = jnp.maximum(0.3 * self.radius - room(tuple(ends.T)), 0.0)
            return jnp.maximum(gone - short, 0.02 * length)

        gone = jax.lax.fori_loop(0, _HOLDS, hold, gone)
        wrist = self.base + gone[:, None] * axis
        # Any two directions across the shaft; the hinge turns between them.
        helper = jnp.where(jnp.abs(axis[:, 1:2]) < 0.9, jnp.eye(3)[1], jnp.eye(3)[0])
        first = jnp.cross(axis, helper)
        first = first / jnp.linalg.norm(first, axis=-1, keepdims=True)
        across = jnp.cos(self.hinge)[:, None] * first + jnp.sin(self.hinge)[:, None] * jnp.cross(axis, first)
        jaws = [
            wrist + self.jaw_mm[:, None] * (jnp.cos(half)[:, None] * axis + sign * jnp.sin(half)[:, None] * across)
            for sign in (-1.0, 1.0)
        ]
        starts = jnp.stack([self.base, wrist, wrist], 1)
        ends = jnp.stack([wrist, *jaws], 1)
        radii = self.radius[:, None] * jnp.array([1.0, 0.42, 0.42], jnp.float32)
        return starts.reshape(-1, 3), ends.reshape(-1, 3), radii.reshape(-1)

    def meet(
        self, rays: Points, rods: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, Points, jax.Array, jax.Array]:
        """Where rays [N] with z = 1 meet the rods first: depth (`FAR_MM`: nowhere), unit normal, distance along the
        rod from its end, and the rod's number."""
        depth = jnp.full_like(rays[0], FAR_MM)
        normal: Points = tuple(jnp.zeros_like(r) for r in rays)
        from_end, which = jnp.zeros_like(depth), jnp.zeros(depth.shape, jnp.int32)
        for i, rod in enumerate(zip(*rods, strict=True)):
            here, facing, place = meet_rod(rays, *rod)
            nearer = here < depth
            normal = tuple(jnp.where(nearer, a, b) for a, b in zip(facing, normal, strict=True))
            from_end, which = jnp.where(nearer, place, from_end), jnp.where(nearer, i, which)
            depth = jnp.minimum(here, depth)
        return depth, normal, from_end, which

    def appearance(
        self, rays: Points, normal: Points, from_end: jax.Array, which: jax.Array
    ) -> tuple[jax.Array, Points, jax.Array, jax.Array]:
        """How the rods look where rays meet them: linear RGB reflectance [3,N], slope of scratches, gloss and shine.

        Metal has no diffuse colour: it is bright where it reflects a lamp towards the eye, here where it faces the
        camera that carries the lamps, and on its flanks it reflects the dark cavity, reddened by tissue.
        """
        own = which // RODS
        per = jnp.concatenate(
            [self.metal, self.sleeve, self.bare_mm[:, None], self.gloss[:, None], self.shine[:, None],
             self.radius[:, None]], 1,
        )  # fmt: skip
        chosen = jnp.matmul(
            per.T, (own[None, :] == jnp.arange(per.shape[0])[:, None]).astype(jnp.float32),
            precision=jax.lax.Precision.HIGHEST,
        )  # fmt: skip
        metal, sleeve, (bare_mm, gloss, shine, radius) = chosen[:3], chosen[3:6], chosen[6:]
        inverse = jax.lax.rsqrt(sum(r * r for r in rays))
        facing = jnp.clip(-sum(n * r for n, r in zip(normal, rays, strict=True)) * inverse, 0.0, 1.0)
        lane = from_end / jnp.maximum(radius, 0.1)
        turned, _ = noise((9.0 * lane, 0.0 * lane, 7.0 * own.astype(jnp.float32)), self.seed)
        flank = 1.0 - facing**2
        tint = 1.0 - flank * jnp.array([0.0, 0.45, 0.45], jnp.float32)[:, None]
        lit = metal * tint * (0.07 + 0.93 * facing**4) * (0.88 + 0.24 * turned)
        # Where the bare metal begins there is a ring, and a groove before it.
        covered = (which % RODS == 0) & (from_end > bare_mm)
        groove = (which % RODS == 0) & (jnp.abs(from_end - 0.9 * radius) < 0.12 * radius)
        reflectance = jnp.where(covered, sleeve * (0.3 + 0.7 * facing), jnp.where(groove, 0.25, 1.0) * lit)
        scratch = jnp.where(covered, 0.0, 0.06) * (turned - 0.5)
        gloss, shine = jnp.where(covered, 30.0, gloss), jnp.where(covered, 0.12 * shine, shine)
        return reflectance, (scratch, scratch, scratch), gloss, shine

    def shade(self, points: Points, rods: tuple[jax.Array, jax.Array, jax.Array], lamp_mm: jax.Array) -> jax.Array:
        """Share of a lamp's light, the lamp at `lamp_mm` [3], that rods let through to points [N]; all in the camera's
        coordinates."""
        through = jnp.ones_like(points[0])
        for start, end, radius in zip(*rods, strict=True):
            gap, place = nearest_pass(points, lamp_mm, start, end)
            # The size of the lamp's disc at the rod, seen from the point; a shaft next to the lamp hides nothing.
            soft = LAMP_MM * place + 0.03
            hidden = jnp.clip(0.5 - 0.5 * (gap - radius) / soft, 0.0, 1.0) * jnp.clip(4.0 * (1.0 - place), 0.0, 1.0)
            through = through * (1.0 - jnp.where(radius > 0, hidden, 0.0))
        return 1.0 - self.shadow * (1.0 - through)

    def contact(self, points: Points, rods: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        """Share of the light from all around that reaches tissue at points [N] beside the rods."""
        left = jnp.ones_like(points[0])
        for start, end, radius in zip(*rods, strict=True):
            gap = jnp.maximum(distance(points, start, end) - radius, 0.0)
            left = left * (1.0 - jnp.where(radius > 0, 0.6 * jnp.exp(-gap / jnp.maximum(0.7 * radius, 0.1)), 0.0))
        return 1.0 - self.shadow * (1.0 - left)
