"""Lamps carried by the camera, and the sensor that turns radiance into a picture."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points

LAMPS = 2
_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Light:
    """Lamps in camera coordinates.

    Attributes:
      lamp_mm: [LAMPS,3] positions.
      power: [LAMPS] shares, summing to 1.
      colour: [3].
      beam: exponent of the cosine of the angle off the lamps' axis.
      bounce: light thrown back by the walls, which falls off more slowly and takes their colour.
      flat: 1 for a lamp fixed in the world and no falloff, else 0.
    """

    lamp_mm: jax.Array
    power: jax.Array
    colour: jax.Array
    beam: jax.Array
    bounce: jax.Array
    flat: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, scope: str, flat: jax.Array) -> "Light":
        """Colonoscopes have lamps beside the lens; a laparoscope a ring of fibres with a narrower, whiter beam."""
        d = Draws(key)
        flexible = scope == "flexible"
        angle = d.uniform(0.0, 2 * jnp.pi)
        off = d.uniform(1.0, 4.0, (LAMPS,)) if flexible else d.uniform(1.5, 5.0, (LAMPS,))
        angles = angle + jnp.array([0.0, jnp.pi], jnp.float32) + d.uniform(-0.4, 0.4, (LAMPS,))
        share = d.uniform(0.3, 0.7)
        warm = d.uniform(-0.12, 0.12) if flexible else d.uniform(-0.2, -0.05)
        zero = jnp.zeros(LAMPS, jnp.float32)
        return cls(
            lamp_mm=jnp.stack([off * jnp.cos(angles), off * jnp.sin(angles), zero], -1),
            power=jnp.stack([share, 1.0 - share]),
            colour=jnp.stack([1.0 + warm, jnp.float32(1.0), 1.0 - warm]),
            beam=d.uniform(0.0, 2.5) if flexible else d.uniform(0.5, 2.0),
            bounce=d.uniform(0.02, 0.35) if flexible else d.uniform(0.1, 0.4),
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
        """Linear RGB [3, N] that surfaces at `hit` (camera coordinates, mm) send to the camera.

        Args:
          hit: points, each coordinate [N].
          normal: unit normals towards free space.
          film: slope added to the normal for highlights alone.
          sun: [N] cosine to the lamp fixed in the world, used when `flat`.
          reflectance: [3,N].
          gloss: [N] sharpness of highlights.
          shine: [N] strength of highlights.
          cam_from_world, lit_from: not needed by lamps that the camera carries.
          shade: lamp [3] in camera coordinates -> share [N] of its light that instruments let through; None: all.
          carried_mm: [3] where the lamps' own origin lies in camera coordinates; None: in the origin.
        """
        del cam_from_world, lit_from
        distance2 = hit[0] ** 2 + hit[1] ** 2 + hit[2] ** 2
        inverse = jax.lax.rsqrt(distance2)
        to_eye = tuple(-c * inverse for c in hit)
        wet = tuple(n + f for n, f in zip(normal, film, strict=True))
        wet_inverse = jax.lax.rsqrt(wet[0] ** 2 + wet[1] ** 2 + wet[2] ** 2)
        diffuse: jax.Array | float = 0.0
        highlight: jax.Array | float = 0.0
        for i in range(LAMPS):
            lamp_mm = self.lamp_mm[i] if carried_mm is None else self.lamp_mm[i] + carried_mm
            to_lamp = tuple(p - c for p, c in zip(lamp_mm, hit, strict=True))
            near = jax.lax.rsqrt(to_lamp[0] ** 2 + to_lamp[1] ** 2 + to_lamp[2] ** 2)
            to_lamp = tuple(c * near for c in to_lamp)
            cosine = jnp.maximum(sum(a * b for a, b in zip(normal, to_lamp, strict=True)), 0.0)
            beam = jnp.exp(self.beam * jnp.log(jnp.maximum(-to_lamp[2], 1e-2)))
            arriving = self.power[i] * beam * near * near
            if shade is not None:
                arriving = arriving * shade(lamp_mm)
            half = tuple(a + b for a, b in zip(to_lamp, to_eye, strict=True))
            half_inverse = jax.lax.rsqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
            facing = sum(a * b for a, b in zip(wet, half, strict=True)) * wet_inverse * half_inverse
            # Blinn's lobe, written as an exponential; normalised so that a sharper one is brighter.
            lobe = jnp.exp(-gloss * (1.0 - facing)) * (gloss + 2.0) * 0.125
            diffuse = diffuse + arriving * cosine
            highlight = highlight + arriving * shine * lobe
        bounced = self.bounce * inverse / 40.0
        lit = reflectance * diffuse + reflectance**2 * bounced + highlight
        flat = reflectance * (0.7 + 0.3 * sun)
        return jnp.where(self.flat > 0, flat, lit) * self.colour[:, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sensor:
    """From radiance to grey levels.

    Attributes:
      target: brightness the automatic exposure aims at: the mean of the square root of the exposed radiance.
      drift: [2,3] (amplitude, period in frames, phase) of two slow changes of brightness.
      vignette: darkening at the half diagonal.
      blur: weight of the neighbours in a three-tap blur, under 0.25.
      white: [3] white balance.
      shoulder: radiance that comes out white.
      gamma: of the picture.
      saturation: of the picture, 1 is none.
      noise: standard deviation at mid grey, of 255.
      seed: uint32, of the noise.
    """

    target: jax.Array
    drift: jax.Array
    vignette: jax.Array
    blur: jax.Array
    white: jax.Array
    shoulder: jax.Array
    gamma: jax.Array
    saturation: jax.Array
    noise: jax.Array
    seed: jax.Array

    @classmethod
    def draw(
        cls, key: jax.Array, scope: str, drift: jax.Array, vignette: jax.Array, blur: jax.Array, noise: jax.Array
    ) -> "Sensor":
        """The colonoscope's picture is bright and warm, the laparoscope's darker, cooler and harder."""
        d = Draws(key)
        flexible = scope == "flexible"
        amplitude = drift * d.uniform(0.3, 1.0, (2,)) * jnp.array([0.7, 0.3], jnp.float32)
        period = jnp.stack([d.uniform(60.0, 160.0), d.uniform(15.0, 40.0)])
        white = d.uniform(0.92, 1.08, (3,))
        return cls(
            target=d.uniform(0.48, 0.95) if flexible else d.uniform(0.45, 0.65),
            drift=jnp.stack([amplitude, period, d.uniform(0.0, 1.0, (2,))], -1),
            vignette=vignette * (d.uniform(0.0, 0.5) if flexible else d.uniform(0.2, 0.5)),
            blur=blur * d.uniform(0.0, 0.12),
            white=white if flexible else white * jnp.array([0.98, 0.98, 1.04], jnp.float32),
            shoulder=d.uniform(1.2, 4.0) if flexible else d.uniform(1.2, 2.0),
            gamma=d.uniform(1.3, 2.2) if flexible else d.uniform(1.7, 2.0),
            saturation=d.uniform(0.9, 1.35) if flexible else d.uniform(0.95, 1.2),
            noise=noise * d.uniform(0.4, 1.3),
            seed=jax.random.bits(d.key(), (), jnp.uint32),
        )

    def expose(self, radiance: jax.Array, mask: jax.Array, flat: jax.Array, t: jax.Array) -> jax.Array:
        """Grey levels [H,W,3] in [0, 1] of radiance [3,H,W] in frame `t`; black outside `mask` [H,W]."""
        height, width = mask.shape
        radiance = _blur(radiance, self.blur)
        y = ((jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2) / width)[:, None]
        x = ((jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2) / width)[None, :]
        radiance = radiance * (1.0 - self.vignette * (x * x + y * y) / (0.25 + 0.25 * (height / width) ** 2))
        luminance = radiance.mean(0)
        mean_root = jnp.where(mask, jnp.sqrt(luminance), 0.0).sum() / jnp.maximum(mask.sum(), 1)
        drift = jnp.exp((self.drift[:, 0] * jnp.sin(2 * jnp.pi * (t / self.drift[:, 1] + self.drift[:, 2]))).sum())
        gain = jnp.where(flat > 0, 0.9, (self.target / jnp.maximum(mean_root, 1e-6)) ** 2) * drift
        exposed = radiance * (gain * self.white[:, None, None])
        # Reinhard's curve with a white point ("Photographic tone reproduction", 2002, eq. 4), then gamma.
        toned = exposed * (1.0 + exposed / self.shoulder**2) / (1.0 + exposed)
        grey = jnp.exp(jnp.log(jnp.maximum(toned, 1e-6)) / self.gamma)
        mix = self.saturation * jnp.eye(3, dtype=jnp.float32) + (1.0 - self.saturation) / 3.0
        grey = jnp.einsum("dc,chw->dhw", mix, grey, precision=_HIGHEST)
        spread = (0.5 + jnp.clip(grey, 0.0, 1.0)) * self.noise / 255.0
        grey = grey + spread * _gaussian(jax.random.fold_in(jax.random.key(self.seed), t.astype(jnp.int32)), grey.shape)
        return jnp.moveaxis(jnp.where(mask, jnp.clip(grey, 0.0, 1.0), 0.0), 0, -1)


def _blur(image: jax.Array, weight: jax.Array) -> jax.Array:
    """Three-tap blur along H and W of [3,H,W], edges repeated; as two matrix products, which are the fastest here."""

    def taps(size: int) -> jax.Array:
        edge = jnp.zeros(size, jnp.float32).at[jnp.array([0, size - 1])].set(1.0)
        near = jnp.eye(size, k=1, dtype=jnp.float32) + jnp.eye(size, k=-1, dtype=jnp.float32)
        return jnp.diag(1.0 - weight * (2.0 - edge)) + weight * near

    _, height, width = image.shape
    return jnp.einsum("hi,cij,wj->chw", taps(height), image, taps(width), precision=_HIGHEST)


def _gaussian(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Nearly normal numbers: sums of four bytes, much cheaper than an inverse error function."""
    bits = jax.random.bits(key, shape, jnp.uint32)
    total = sum((((bits >> shift) & 0xFF).astype(jnp.int32) for shift in (0, 8, 16, 24)), jnp.int32(0))
    return (total.astype(jnp.float32) - 510.0) / 147.8
