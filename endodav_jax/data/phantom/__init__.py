"""A procedural endoscopy world with exact depth, pose and intrinsics: endless data without a download.

One line is a data set: `PhantomConfig.colon(seed=1, sequences=100)`.
"""

from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.data.phantom.render import render_batch, render_clip, render_frame
from endodav_jax.data.phantom.scene import Scene, draw_scene, draw_scenes
from endodav_jax.data.phantom.sequence import render_sequence, sequence_name

__all__ = [
    "PhantomConfig",
    "Scene",
    "draw_scene",
    "draw_scenes",
    "render_batch",
    "render_clip",
    "render_frame",
    "render_sequence",
    "sequence_name",
]
