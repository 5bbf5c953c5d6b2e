"""From a fused volume to a mesh and a point cloud: marching cubes, colours, normals, and their files."""

import dataclasses
import importlib
import importlib.util
from pathlib import Path

import numpy as np
import plyfile

from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.reconstruction.volume import BLOCK, FusedVolume

CUBE = 6  # side, in blocks, of the cubes processed by marching cubes at once
LEAST_WEIGHT = 0.5  # observations below which a voxel counts as unobserved
LEAST_PART = 0.02  # parts of the mesh with a smaller fraction of the faces are dropped as specks
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up and z backwards, as in glTF

_POINT = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")] + [(name, "u1") for name in ("red", "green", "blue")]
)


def need_reconstruct() -> None:
    """Raises `UserError` if the optional packages are missing."""
    for package, module in (("scikit-image", "skimage"), ("trimesh", "trimesh")):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"reconstruct: needs the package {package}; install it with: pip install 'endodav-jax[reconstruct]'"
            )


@dataclasses.dataclass(frozen=True)
class Mesh:
    """A surface in the world's coordinates, normals towards free space.

    Attributes:
      vertices: float64 [V,3].
      faces: int64 [F,3].
      normals: float32 [V,3].
      colours: uint8 [V,3].
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colours: np.ndarray

    @property
    def empty(self) -> bool:
        """Whether there is no surface."""
        return not len(self.faces)

    def scaled(self, factor: float) -> "Mesh":
        """The mesh in another unit."""
        return dataclasses.replace(self, vertices=self.vertices * factor)


def extract_mesh(volume: FusedVolume) -> Mesh:
    """Returns the zero level of the distance where observed, without specks; cube by cube, to limit memory."""
    need_reconstruct()
    import trimesh

    vertices, faces, colours, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [np.zeros((0, 3), np.uint8)], 0
    cubes = np.unique(volume.block_numbers() // CUBE, axis=0) * CUBE
    for first in cubes:
        part = _cube(volume, first)
        if part is not None:
            vertices.append(part[0])
            faces.append(part[1] + count)
            colours.append(part[2])
            count += len(part[0])
    mesh = trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False)
    if not len(mesh.faces):
        return Mesh(mesh.vertices, mesh.faces, np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8))
    mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=np.concatenate(colours))
    mesh.merge_vertices(merge_norm=True, merge_tex=True, digits_vertex=_digits(volume.voxel))
    mesh = _without_specks(mesh)
    return Mesh(
        np.asarray(mesh.vertices),
        np.asarray(mesh.faces),
        np.asarray(mesh.vertex_normals, np.float32),
        np.asarray(mesh.visual.vertex_colors[:, :3], np.uint8),
    )


def write_ply(path: Path, mesh: Mesh, unit: str) -> None:
    """Writes the mesh as a binary PLY with normals and colours.

    Raises:
      UserError: it cannot be written.
    """
    faces = np.empty(len(mesh.faces), [("vertex_indices", "<i4", (3,))])
    faces["vertex_indices"] = mesh.faces
    elements = [
        plyfile.PlyElement.describe(_points(mesh), "vertex"),
        plyfile.PlyElement.describe(faces, "face"),
    ]
    with whole_file(path) as part:
        plyfile.PlyData(elements, byte_order="<", comments=_comments(unit)).write(part)


def write_points(path: Path, mesh: Mesh, unit: str) -> None:
    """Writes the surface's vertices as a point cloud with normals and colours.

    Raises:
      UserError: it cannot be written.
    """
    element = plyfile.PlyElement.describe(_points(mesh), "vertex")
    with whole_file(path) as part:
        plyfile.PlyData([element], byte_order="<", comments=_comments(unit)).write(part)


def write_glb(path: Path, mesh: Mesh, metres: float) -> None:
    """Writes the mesh as glTF, with its axes (y up, z towards the viewer).

    Args:
      mesh: not empty.
      metres: metres per unit, since glTF is in metres; 1 if not known.

    Raises:
      UserError: it cannot be written.
    """
    import trimesh

    turned = trimesh.Trimesh(
        mesh.vertices * metres,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=mesh.colours,
        process=False,
    )
    turned.apply_transform(OPENGL)
    content = turned.export(file_type="glb")
    assert isinstance(content, bytes)  # as that format is
    with whole_file(path) as part:
        part.write_bytes(content)


def _cube(volume: FusedVolume, first: np.ndarray):
    """Vertices, faces and colours of a cube of blocks; None if it contains no surface."""
    from skimage.measure import marching_cubes

    distance, weight, colour = volume.dense(first, CUBE)
    seen = weight >= LEAST_WEIGHT
    low, high = (slice(0, -1), slice(1, None))
    whole = np.logical_and.reduce([seen[a, b, c] for a in (low, high) for b in (low, high) for c in (low, high)])
    # Marching cubes looks up the mask of a cell at its upper corner.
    mask = np.zeros_like(seen)
    mask[1:, 1:, 1:] = whole
    if not whole.any() or not (distance[seen].min() < 0 < distance[seen].max()):
        return None
    try:
        vertices, faces, _, _ = marching_cubes(distance, 0.0, mask=mask)
    except RuntimeError:  # no surface in the observed cells
        return None
    near = np.clip(np.rint(vertices).astype(np.int64), 0, distance.shape[0] - 1)
    colours = np.clip(np.rint(colour[tuple(near.T)]), 0, 255).astype(np.uint8)
    return (vertices + first * BLOCK) * volume.voxel, faces.astype(np.int64), colours


def _without_specks(mesh):
    import trimesh

    labels = trimesh.graph.connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    sizes = np.bincount(labels)
    mesh.update_faces(sizes[labels] >= max(20, LEAST_PART * sizes.max()))
    mesh.remove_unreferenced_vertices()
    return mesh


def _digits(voxel: float) -> int:
    """Number of decimals that distinguishes neighbouring vertices but merges equal ones of two cubes."""
    return int(np.ceil(-np.log10(voxel))) + 4


def _points(mesh: Mesh) -> np.ndarray:
    points = np.empty(len(mesh.vertices), _POINT)
    points["x"], points["y"], points["z"] = mesh.vertices.T
    points["nx"], points["ny"], points["nz"] = mesh.normals.T
    points["red"], points["green"], points["blue"] = mesh.colours.T
    return points


def _comments(unit: str) -> list[str]:
    return [f"world: x right, y down, z forward of the first camera; unit: {unit}"]
