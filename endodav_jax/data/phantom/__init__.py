"""A procedural endoscopy world with exact depth, pose and intrinsics: endless data without a download.

One line defines a data set: `PhantomConfig.colon(seed=1, sequences=100)`.  The renderer, and JAX with it, is imported
on first use.
"""

import importlib
from typing import TYPE_CHECKING

from endodav_jax.data.phantom.config import PhantomConfig

if TYPE_CHECKING:
    from endodav_jax.data.phantom.render import render_clip, render_frame
    from endodav_jax.data.phantom.scene import Scene, draw_scene
    from endodav_jax.data.phantom.sequence import render_sequence

__all__ = [
    "PhantomConfig",
    "Scene",
    "draw_scene",
    "render_clip",
    "render_frame",
    "render_sequence",
]

_MODULES = {"Scene": "scene", "draw_scene": "scene", "render_sequence": "sequence"}
_MODULES |= dict.fromkeys(("render_clip", "render_frame"), "render")


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
