"""Fusion of true depth: the surface is where it is, its memory is bounded, and its files are read by others."""

import importlib.util

import numpy as np
import plyfile
import pytest
import trimesh

from endodav_jax.errors import UserError
from endodav_jax.reconstruction.clip import DepthView, given_path
from endodav_jax.reconstruction.fusion import fuse_clip
from endodav_jax.reconstruction.surface import extract_mesh, need_reconstruct, write_glb, write_ply, write_points
from endodav_jax.reconstruction.volume import BLOCK, BYTES_A_BLOCK, FusedVolume
from tests.bumpy_wall import INTRINSICS, SIZE, distance_to_wall, look, stroll

POSES = stroll(30)[::3]
VOXEL = 0.8


@pytest.fixture(scope="module")
def views():
    inside = np.ones(SIZE, bool)
    inside[:, :4] = False
    return [DepthView(n, *look(pose), inside) for n, pose in enumerate(POSES)]


def fuse(views, **settings):
    path = given_path(lambda: iter(views), INTRINSICS, POSES)
    return fuse_clip(lambda: iter(views), path, **{"voxel": VOXEL} | settings)


@pytest.fixture(scope="module")
def mesh(views):
    return extract_mesh(fuse(views)[0])


def test_vertices_lie_on_the_wall(mesh):
    off = distance_to_wall(mesh.vertices)
    assert len(mesh.vertices) > 3000
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.99) < 0.3


def test_normals_look_at_the_camera_and_faces_agree(mesh):
    assert np.median(mesh.normals[:, 2]) < -0.8
    corners = mesh.vertices[mesh.faces]
    wound = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (wound[:, 2] < 0).mean() > 0.99


def test_what_was_seen_is_there(mesh, views):
    tree = trimesh.proximity.cKDTree(mesh.vertices)
    view = views[4]
    rows, columns = np.mgrid[6 : SIZE[0] - 6 : 4, 10 : SIZE[1] - 6 : 4]
    depth = view.depth[rows, columns].ravel()
    fx, fy, cx, cy = INTRINSICS
    points = np.stack([(columns.ravel() - cx) / fx * depth, (rows.ravel() - cy) / fy * depth, depth], -1)
    world = (points - POSES[4][:3, 3]) @ POSES[4][:3, :3]
    assert (tree.query(world)[0] < 1.0).mean() > 0.97


def test_colours_are_those_of_the_paint(mesh):
    assert np.abs(mesh.colours.mean(0) - (150, 105, 95)).max() < 12


def test_cubes_meet_without_seams(mesh):
    """The wall is one sheet: its edges with one face alone are its rim."""
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    edges = np.sort(whole.edges, axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 1).mean() < 0.05
    assert counts.max() == 2


def test_a_depth_that_is_not_trusted_does_not_bend_the_wall(views, mesh):
    class Doubtful:
        def expected_error(self, features):
            return np.full(features.shape[:2], 0.02, np.float32)

    class Knowing:
        def expected_error(self, features):
            error = np.full(features.shape[:2], 0.02, np.float32)
            error[20:40, 30:60] = 0.5
            return error

    off = []
    for model in (Doubtful(), Knowing()):
        bent = []
        for view in views:
            depth = view.depth.copy()
            depth[20:40, 30:60] *= 1.05
            bent.append(DepthView(view.index, view.rgb, depth, view.inside))
        off.append(distance_to_wall(extract_mesh(fuse(bent, model=model)[0]).vertices).mean())
    assert off[1] < 0.6 * off[0]


def test_larger_surfaces_get_larger_voxels_instead_of_more_memory(views):
    volume = FusedVolume(0.2, most_bytes=16_000_000)
    for view, pose in zip(views, POSES, strict=True):
        weight = np.ones(SIZE, np.float32)
        volume.integrate(view.depth, view.rgb, weight, weight, INTRINSICS, pose)
    assert volume.coarsened >= 1
    assert volume.voxel == 0.2 * 2**volume.coarsened
    assert volume.blocks * BYTES_A_BLOCK * 2 <= 16_000_000 + 256 * BYTES_A_BLOCK * 2
    assert np.quantile(distance_to_wall(extract_mesh(volume).vertices), 0.95) < 0.5


def test_voxels_too_small_to_be_numbered_are_merged(views):
    volume = FusedVolume(1e-6, most_bytes=2_000_000_000)
    sparse = np.zeros(SIZE, np.float32)
    sparse[::8, ::8] = 1
    for view, pose in zip(views[:2], POSES[:2], strict=True):
        volume.integrate(view.depth, view.rgb, sparse, np.ones(SIZE, np.float32), INTRINSICS, pose)
    places = volume.block_numbers() * BLOCK * volume.voxel
    assert distance_to_wall(places).max() < 1


def test_files_are_read_by_others(mesh, tmp_path):
    write_ply(tmp_path / "mesh.ply", mesh, "mm")
    write_glb(tmp_path / "mesh.glb", mesh, 1e-3)
    write_points(tmp_path / "points.ply", mesh, "up to scale")
    read = trimesh.load(tmp_path / "mesh.ply", process=False)
    np.testing.assert_allclose(read.vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(read.faces, mesh.faces)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], mesh.colours)
    (shown,) = trimesh.load(tmp_path / "mesh.glb", process=False).geometry.values()
    np.testing.assert_allclose(shown.vertices, mesh.vertices * (1e-3, -1e-3, -1e-3), atol=1e-6)
    points = plyfile.PlyData.read(tmp_path / "points.ply")
    assert points.comments == ["world: x right, y down, z forward of the first camera; unit: up to scale"]
    assert points["vertex"].count == len(mesh.vertices)
    np.testing.assert_allclose(points["vertex"]["nz"], mesh.normals[:, 2])


@pytest.mark.parametrize(("module", "package"), [("skimage", "scikit-image"), ("trimesh", "trimesh")])
def test_a_missing_package_is_one_line_with_the_cure(monkeypatch, module, package):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else there(name))
    with pytest.raises(UserError, match=rf"needs the package {package}; .*'endodav-jax\[reconstruct\]'"):
        need_reconstruct()
