"""Effects that make a sequence harder than a clean one, each present only if its switch is on.

An absent effect is also absent from the compiled program, so that clean pictures stay bit-identical and as fast.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.camera import camera_pose
from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.data.phantom.instruments import Instruments
from endodav_jax.data.phantom.paths import Path
from endodav_jax.data.phantom.shapes import Shape
from endodav_jax.data.phantom.smoke import Smoke
from endodav_jax.data.phantom.trace import pose_of_rays
from endodav_jax.data.phantom.wet_lens import WetLens

_STREAM = 0x5EED  # keeps these draws apart from those of the scene
_LOOKS = (0.0, 40.0, 80.0, 120.0)  # frames in which the space around the camera is measured


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Extras:
    """Parts that most scenes do not have.

    Attributes:
      instruments: metal instruments.
      smoke: cautery smoke.
      wet_lens: fluid on the lens.
      shutter: how long it is open, as a share of the frame interval.
      baseline_mm: how far the second eye is to the right of the first.
    """

    instruments: Instruments | None = None
    smoke: Smoke | None = None
    wet_lens: WetLens | None = None
    shutter: jax.Array | None = None
    baseline_mm: jax.Array | None = None


def draw_extras(config: PhantomConfig, key: jax.Array, shape: Shape, path: Path) -> Extras:
    """Draws what `config` switches on for the scene of `key`; costs nothing if nothing is on."""
    shares = {name: jnp.float32(value) for name in ("smoke", "fluid") if (value := getattr(config, name))}
    extras = Extras(
        shutter=jnp.float32(config.motion_blur) if config.motion_blur else None,
        baseline_mm=jnp.float32(config.stereo) if config.stereo else None,
    )
    if not shares and not config.tools:
        return extras
    lamps = float(config.light == "endoscope")
    drawn = _draw(
        config.family, config.tools, shares, jnp.float32(config.specular * lamps), jnp.float32(lamps), key, shape, path
    )
    return dataclasses.replace(extras, **drawn)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _draw(
    family: str,
    tools: int,
    shares: dict[str, jax.Array],
    specular: jax.Array,
    shadow: jax.Array,
    key: jax.Array,
    shape: Shape,
    path: Path,
) -> dict[str, Instruments | Smoke | WetLens]:
    key = jax.random.fold_in(key, _STREAM)
    space_mm = jax.lax.map(functools.partial(_space, shape, path), jnp.array(_LOOKS, jnp.float32)).mean()
    drawn: dict[str, Instruments | Smoke | WetLens] = {}
    if tools:
        drawn["instruments"] = Instruments.draw(
            jax.random.fold_in(key, 0), tools, FAMILIES[family].scope, space_mm, specular, shadow
        )
    if "smoke" in shares:
        drawn["smoke"] = Smoke.draw(jax.random.fold_in(key, 1), shares["smoke"], space_mm)
    if "fluid" in shares:
        drawn["wet_lens"] = WetLens.draw(jax.random.fold_in(key, 2), shares["fluid"])
    return drawn


def _space(shape: Shape, path: Path, t: jax.Array) -> jax.Array:
    """Distance of the camera from the nearest wall in frame `t`, mm."""
    _, origin = pose_of_rays(camera_pose(shape, path, t))
    return jnp.maximum(shape.clearance(tuple(origin)), 1.0)
