"""The layout of a reconstruction's folder, and its small files.

    STEM_src.mp4           the frames that were used
    STEM_vis.mp4           depth as colours
    STEM_confidence.mp4    expected relative error as colours, dark 0 to bright 0.3
    STEM_depths.npz        disparities, depths, expected_errors float32 [N,H,W], also depths_mm if the scale is
                           known; fps, intrinsics [4], frame_index [N]: as written by `endodav infer`
    STEM_meta.json         input and processing; `scale` gives mm per unit, with its interval if known, or "up to scale"
    cameras.json           intrinsics and `cam_from_world` of every frame (see `write_cameras`)
    trajectory_tum.txt     camera to world of the longest piece: frame tx ty tz qx qy qz qw
    mesh.ply, mesh.glb     its surface, coloured; .glb uses glTF's axes, and metres if the scale is known
    points.ply             its vertices with normals
    report.html            the report
    piece_02/, ...         trajectory, mesh and points of each further piece, which has its own world

World: x right, y down, z forward from the piece's first camera.  Unit: mm if the scale is known, else the depth's own.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.evaluation.motion import write_tum
from endodav_jax.files import json_text, whole_file
from endodav_jax.reconstruction.clip import CameraPath
from endodav_jax.video.recognise import META_SUFFIX

CONVENTION = (
    "cam_from_world maps a point of the world into the camera, row by row; x right, y down, z forward; pixel centres "
    "at integers, (0, 0) the centre of the top left pixel; each piece has a world of its own, its first camera's"
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Paths of a reconstruction's files.

    Attributes:
      folder: the folder.
      stem: name of the input, for the files that `endodav infer` also writes.
    """

    folder: Path
    stem: str

    @classmethod
    def find(cls, folder: Path) -> "Layout":
        """Returns the layout of a folder written by `endodav reconstruct`.

        Raises:
          UserError: there is none in it.
        """
        found = sorted(folder.glob(f"*{META_SUFFIX}")) if (folder / "cameras.json").is_file() else []
        if not found:
            raise UserError(f"{folder}: contains no reconstruction; make one with `endodav reconstruct`")
        return cls(folder, found[0].name.removesuffix(META_SUFFIX))

    def _own(self, name: str) -> Path:
        return self.folder / f"{self.stem}_{name}"

    @property
    def source(self) -> Path:
        return self._own("src.mp4")

    @property
    def depth_video(self) -> Path:
        return self._own("vis.mp4")

    @property
    def confidence_video(self) -> Path:
        return self._own("confidence.mp4")

    @property
    def depths(self) -> Path:
        return self._own("depths.npz")

    @property
    def meta(self) -> Path:
        return self._own("meta.json")

    @property
    def cameras(self) -> Path:
        return self.folder / "cameras.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def piece(self, rank: int) -> Path:
        """Folder of a piece: the longest, rank 0, is in the main folder."""
        return self.folder if rank == 0 else self.folder / f"piece_{rank + 1:02d}"

    def pieces(self) -> list[Path]:
        """The folders of all pieces, those of an earlier run included."""
        return [self.folder, *sorted(self.folder.glob("piece_[0-9][0-9]"))]

    def trajectory(self, rank: int = 0) -> Path:
        return self.piece(rank) / "trajectory_tum.txt"

    def mesh(self, rank: int = 0) -> Path:
        return self.piece(rank) / "mesh.ply"

    def gltf(self, rank: int = 0) -> Path:
        return self.piece(rank) / "mesh.glb"

    def points(self, rank: int = 0) -> Path:
        return self.piece(rank) / "points.ply"

    def fixed(self) -> list[Path]:
        """Files that every reconstruction has."""
        return [
            self.source, self.depth_video, self.confidence_video, self.depths, self.meta, self.cameras, self.report,
            self.trajectory(), self.mesh(), self.gltf(), self.points(),
        ]  # fmt: skip


def write_cameras(path: Path, camera_path: CameraPath, size: tuple[int, int], unit_scale: float, unit: str) -> None:
    """Writes `cameras.json`: `convention`, `unit`, `size`, `intrinsics`, and `frames`.

    Each frame has `frame` (its number in the source), `piece` (from 1, the longest; null if tracking failed),
    `cam_from_world` (4 rows of 4) or null, `keyframe`, `depth_scale` (the factor by which its depth fits best) and
    `reason`, why tracking failed.

    Args:
      path: the file to write.
      camera_path: in the depth's unit.
      size: (height, width) for the intrinsics.
      unit_scale: number of `unit` per unit of depth.
      unit: of translations.

    Raises:
      UserError: it cannot be written.
    """
    ranks = {piece: rank for rank, piece in enumerate(camera_path.pieces, start=1)}
    frames = []
    for frame in camera_path.frames:
        pose = None
        if frame.cam_from_world is not None:
            scaled = frame.cam_from_world.copy()
            scaled[:3, 3] *= unit_scale
            pose = scaled.tolist()
        about = {"frame": frame.index, "piece": ranks.get(frame.piece), "cam_from_world": pose}
        about |= {"keyframe": frame.keyframe, "depth_scale": frame.scale, "reason": frame.reason}
        frames.append(about)
    fx, fy, cx, cy = (float(value) for value in camera_path.intrinsics)
    about = {
        "convention": CONVENTION,
        "unit": unit,
        "size": {"height": size[0], "width": size[1]},
        "intrinsics": {"fx": fx, "fy": fy, "cx": cx, "cy": cy},
        "frames": frames,
    }
    with whole_file(path) as part:
        part.write_text(json_text(about))


def write_trajectories(layout: Layout, camera_path: CameraPath, unit_scale: float, unit: str) -> None:
    """Writes the trajectory of every piece, camera to world.

    Raises:
      UserError: it cannot be written.
    """
    for rank, piece in enumerate(camera_path.pieces):
        poses = camera_path.world_from_cam(piece)
        poses[:, :3, 3] *= unit_scale
        write_tum(layout.trajectory(rank), poses, [frame.index for frame in camera_path.of_piece(piece)], unit)


def lost_ranges(indices: Sequence[int]) -> str:
    """Formats frame numbers as `3, 7-12`."""
    parts: list[list[int]] = []
    for index in indices:
        if parts and index == parts[-1][1] + 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
