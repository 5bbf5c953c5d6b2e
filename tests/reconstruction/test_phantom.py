"""What is asked of a reconstruction where depth is true: 200 rendered frames of each family."""

import jax
import numpy as np
import pytest
from scipy.spatial import cKDTree

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_sequence
from endodav_jax.data.phantom.trace import field_and_gradient
from endodav_jax.reconstruction.clip import track_clip
from endodav_jax.reconstruction.fusion import fuse_clip
from endodav_jax.reconstruction.known_clip import KnownClip
from endodav_jax.reconstruction.measures import path_errors
from endodav_jax.reconstruction.surface import extract_mesh
from endodav_jax.reconstruction.views import pixel_rays

FRAMES = 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["colon", "organ"])
def made(request):
    """(configuration, clip, path, mesh in the world of the phantom)."""
    config = PhantomConfig.of(request.param, seed=5, sequences=8, frames=FRAMES, height=96, width=128)
    clip = KnownClip(list(render_sequence(config, 0)))
    views = clip.true_views()
    path = track_clip(lambda: iter(views), clip.intrinsics)
    mesh = extract_mesh(fuse_clip(lambda: iter(views), path)[0])
    return config, clip, path, mesh


def world(clip, path):
    """The phantom's world from the path's: from the first frame's pose."""
    first = path.of_piece(path.pieces[0])[0].index
    return clip.world_from_cam[first]


def test_the_path_is_within_half_a_percent_of_its_length(made):
    _, clip, path, _ = made
    assert not path.lost()
    errors = path_errors(path.world_from_cam(0)[:, :3, 3], clip.world_from_cam[:, :3, 3], free_scale=False)
    assert errors.share < 0.005


def test_the_surface_lies_within_a_millimetre(made):
    config, clip, path, mesh = made
    into = world(clip, path)
    vertices = (mesh.vertices @ into[:3, :3].T + into[:3, 3]).astype(np.float32)
    scene = draw_scene(config, 0)
    value, gradient = jax.jit(lambda points: field_and_gradient(scene.shape.field, points))(tuple(vertices.T))
    off = np.abs(value) / np.maximum(np.linalg.norm(gradient, axis=0), 0.2)
    assert (off < 1.0).mean() > 0.95


def test_nine_tenths_of_what_was_seen_are_there(made):
    _, clip, path, mesh = made
    into = world(clip, path)
    tree = cKDTree(mesh.vertices @ into[:3, :3].T + into[:3, 3])
    found = []
    for depth, pose in list(zip(clip.depths, clip.world_from_cam, strict=True))[::10]:
        points = (pixel_rays(depth.shape, clip.intrinsics) * depth[..., None])[depth > 0]
        found.append(tree.query(points @ pose[:3, :3].T + pose[:3, 3])[0] < 1.0)
    assert np.concatenate(found).mean() > 0.9
