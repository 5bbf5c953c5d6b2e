"""A user's own recordings (`frames`): videos or folders of images, with whatever camera, depth and motion is known.

A sequence is a video, a DICOM recording, a file of many images, or a folder that holds images, directly or in
`frames/`, `images/`, `color/`, `rgb/`.  Next to images, or to a recording alone in its folder, there may be

- `intrinsics.json`, `.txt`, `.yaml`, `.npy` (or `camera.*`): fx, fy, cx, cy or a 3x3 matrix, and distortion (see
  `video.camera_files`);
- `mask.png`: not 0 where the scene is seen;
- `masks/` or `masks.mp4`: a mask for each frame, 0 where it is left out (see `video.frame_masks`);
- `depth/`: one file per frame, a PNG or TIFF of integers, or an `.npy` or TIFF of floats;
- `poses.txt`: KITTI (12 numbers) or TUM (t tx ty tz qx qy qz qw) lines, camera to world;
- `geometry.npz`: `intrinsics` [3, 3], `world_to_camera` [N, 4, 4], `sparse_depth` rows (frame, point, u, v, z);
- a COLMAP text model (`cameras.txt`, `images.txt`, `points3D.txt`), directly or in `sparse/`, `sparse/0/`.

Such files can also be given explicitly by options.  Units are the user's: `unit_mm` and `depth_unit_mm` convert them to
millimetres; without a known unit, "mm" means the unit of the reconstruction.
"""

import math
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from endodav_jax.choices import Stereo
from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.decode import (
    Unreadable,
    read_float_map,
    read_rgb,
    read_uint16,
    valid_depth,
)
from endodav_jax.data.sources.frames_known import Given, Known, half_of, read_known
from endodav_jax.data.sources.frames_layout import SequencePlace, file_beside, find_sequences
from endodav_jax.data.sources.paired_files import gaps_in
from endodav_jax.data.sources.undistorted import Undistorters, resampled
from endodav_jax.errors import UserError
from endodav_jax.geometry.pixels import Size, resized_intrinsics, resized_pixels
from endodav_jax.video.frame_masks import MaskOf, fitted_mask
from endodav_jax.video.frames import Deinterlace, Reading, ReadingStopped
from endodav_jax.video.intrinsics import guessed_intrinsics
from endodav_jax.video.lenses import Lens, Pinhole
from endodav_jax.video.reader import half_window
from endodav_jax.video.undistort import Undistorter
from endodav_jax.video.view_mask import detect_view, read_view, varied

VIEW_SAMPLES = 16


class FramesSource(SequenceSource):
    """Own sequences below a path; all of them are the split `train`, and `all`."""

    name = "frames"
    splits = ("train", "all")

    def __init__(
        self,
        root: Path | str,
        *,
        intrinsics: str | None = None,
        depth: str | None = None,
        poses: str | None = None,
        pose_direction: Literal["world_from_cam", "cam_from_world"] = "world_from_cam",
        geometry: str | None = None,
        mask: str = "auto",
        masks: str = "auto",
        undistort: bool = False,
        unit_mm: float = 1.0,
        depth_unit_mm: float = 1.0,
        stereo: Stereo = "none",
        deinterlace: Deinterlace = "auto",
        track: int = -1,
    ):
        """Options for your own recordings.

        Args:
          root: a video, a folder of images, or a folder of such sequences.
          intrinsics: `fx,fy,cx,cy` or a file, for all sequences; default: the file beside the frames, else a guess.
          depth: folder of depth maps.
          poses: file of poses, KITTI or TUM.
          pose_direction: direction of the poses in the file; KITTI and TUM define camera to world.
          geometry: a `geometry.npz`, or the folder of a COLMAP text model.
          mask: image of the view, `auto` to find the view by its dark border, `none` for the whole frame.
          masks: folder or video of masks, one a frame, 0 where it is left out; `auto` for those beside it, `none`.
          undistort: resample frames, depth and masks once to a pinhole; the camera's file must tell its distortion.
          unit_mm: millimetres in one unit of poses and points.
          depth_unit_mm: millimetres in one unit of the depth maps.
          stereo: which half of frames with two views is taken.
          deinterlace: frames of two fields become whole pictures: those marked as such, all (`on`), or none (`off`).
          track: number of the video track, from 0, where a file holds several; -1 takes the default or largest.

        Raises:
          UserError: nothing to read there, or an option that fits one sequence only is given for several.
        """
        self.root = Path(root)
        self._found = find_sequences(self.root)
        if len(self._found) > 1:
            named = None if masks in ("auto", "none") else masks
            for option, value in (("depth", depth), ("poses", poses), ("geometry", geometry), ("masks", named)):
                if value is not None:
                    raise UserError(f"--{option}: {root} holds {len(self._found)} sequences; put it beside each one")
        for option, unit in (("unit-mm", unit_mm), ("depth-unit-mm", depth_unit_mm)):
            if not (math.isfinite(unit) and unit > 0):
                raise UserError(f"--{option} {unit}: must be a finite, positive number")
        self._mask, self._undistort = mask, undistort
        self._unit_mm, self._depth_unit_mm, self._stereo = unit_mm, depth_unit_mm, stereo
        self._reading = Reading(deinterlace, None if track < 0 else track)
        world_from_cam = pose_direction == "world_from_cam"
        self._given = Given(intrinsics, depth, poses, world_from_cam, geometry, masks, stereo, self._reading)
        self._loaded: dict[str, Known] = {}

    def sequences(self, split: str) -> list[str]:
        if split not in self.splits:
            raise self._unknown_split(split)
        return list(self._found)

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what there is of a sequence.

        Raises:
          UserError: the sequence is missing, or a file beside it cannot be read.
        """
        place = self._place(sequence)
        known = self._known(sequence)
        geometry = known.geometry
        odd = list(geometry.odd)
        gap = gaps_in(list(place.images)) if place.images else None
        odd += [gap] if gap else []
        height, width = known.size
        lens = self._lens(known, 0)
        undistortion = None
        notes = [f"{sequence}: {line}" for line in (*place.left_out, *known.notes)]
        if self._undistort:
            undistorter = Undistorters(known.size).of(sequence, lens)
            undistortion = undistorter.to_json()
            notes.append(f"{sequence}: {undistorter.loss_line(self._view(sequence, known))}")
        elif lens.distorted:
            ignored = "its camera is distorted, which is ignored; resample it to a pinhole with --undistort"
            odd.append(ignored)
            notes.append(f"{sequence}: {ignored}")
        if known.masks is not None:
            of_masks = known.masks.notes(list(place.images or range(known.frames)))
            odd += of_masks
            notes += [f"{sequence}: {line}" for line in of_masks]
        return SequenceInfo(
            name=sequence,
            frames=known.frames,
            height=height,
            width=width,
            has_depth=bool(known.depths) or geometry.points is not None,
            has_pose=bool(geometry.cam_from_world),
            has_intrinsics=known.lens is not None or bool(geometry.intrinsics),
            depth_frames=len(known.depths) if known.depths else None,
            pose_frames=None,  # counted where they are read: one a frame, or what COLMAP registered
            expected_frames=None,
            layout="video" if place.video else "images",
            odd=tuple(odd),
            has_frame_masks=known.masks is not None,
            undistortion=undistortion,
            notes=tuple(notes),
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        known = self._known(sequence)
        view = self._view(sequence, known)
        mask_of = None if known.masks is None else known.masks.reader()
        undistorters = Undistorters(known.size) if self._undistort else None
        for position, index, image in self._colour(sequence, known):
            lost = isinstance(image, Unreadable)  # what damage took away is told, whichever frames are asked for
            if only is not None and index not in only and not lost:
                continue
            try:
                if isinstance(image, Unreadable):
                    raise image
                rgb = half_of(image if isinstance(image, np.ndarray) else read_rgb(image), self._stereo)
                if rgb.shape[:2] != known.size:
                    raise Unreadable(f"it is {rgb.shape[1]}x{rgb.shape[0]}, the first {known.size[1]}x{known.size[0]}")
                lens = self._lens(known, position)
                undistorter = None if undistorters is None else undistorters.of(sequence, lens)
                frame = SourceFrame(
                    frame=rgb,
                    depth_mm=self._depth(known, position, index, undistorter),
                    cam_from_world=self._pose(known, position),
                    intrinsics=lens.intrinsics,
                    frame_index=index,
                    sequence=sequence,
                    view_mask=view,
                    frame_mask=self._frame_mask(known, mask_of, index),
                )
                yield frame if undistorter is None else resampled(frame, undistorter, sparse=not known.depths)
            except Unreadable as error:
                yield BadFrame(index, str(error))

    def _colour(self, sequence: str, known: Known) -> Iterator[tuple[int, int, np.ndarray | Path | Unreadable]]:
        """Yields (position, frame index, frame, file or fault); after damage in a video, all its later frames fail."""
        place = self._place(sequence)
        if place.video is None:
            for position, (number, path) in enumerate(place.images.items()):
                yield position, number, path
            return
        position = 0
        try:
            for frame in place.open(self._reading):
                yield position, position, frame.rgb
                position += 1
        except ReadingStopped:
            for lost in range(position, max(position + 1, known.frames)):
                yield lost, lost, Unreadable(f"{place.video.name} is damaged or cut short after frame {position - 1}")

    def _frame_mask(self, known: Known, mask_of: MaskOf | None, index: int) -> np.ndarray | None:
        mask = None if mask_of is None else mask_of(index)
        if mask is None or known.masks is None:
            return None
        window = half_window(known.full_size, self._stereo)
        return fitted_mask(mask, window, known.full_size, known.size, known.size, known.masks.path)

    def _depth(
        self, known: Known, position: int, index: int, undistorter: Undistorter | None = None
    ) -> np.ndarray | None:
        if known.depths:
            path = known.depths.get(index)
            if path is None:
                raise Unreadable("it has no depth map")
            floats = path.suffix.lower() in (".npy", ".tif", ".tiff")
            values = read_float_map(path) if floats else read_uint16(path)
            return valid_depth(values * np.float32(self._depth_unit_mm))
        if known.geometry.points is None:
            return None
        points = known.geometry.points.get(position)
        if points is None:
            return None
        if undistorter is not None:
            uv = undistorter.points(_resized_points(points, known.geometry.size or known.size, known.size))
            points = np.concatenate([uv, points[:, 2:]], axis=1)[np.isfinite(uv).all(axis=1)]
            return sparse_depth(points, known.size, known.size) * np.float32(self._unit_mm)
        return sparse_depth(points, known.geometry.size or known.size, known.size) * np.float32(self._unit_mm)

    def _pose(self, known: Known, position: int) -> np.ndarray | None:
        pose = known.geometry.cam_from_world.get(position)
        if pose is None:
            return None
        scaled = pose.copy()
        scaled[:3, 3] *= self._unit_mm
        return scaled

    def _lens(self, known: Known, position: int) -> Lens:
        if known.lens is not None:
            return known.lens
        geometry, size = known.geometry, known.size
        camera = geometry.intrinsics_at(position)
        if camera is None:  # a frame that COLMAP did not register has the camera of the others
            position = next(iter(geometry.intrinsics), -1)
            camera = geometry.intrinsics_at(position)
        if camera is None:
            return Pinhole(guessed_intrinsics(known.size, known.pixel_aspect))
        if position not in geometry.lenses:
            return Pinhole(resized_intrinsics(camera, geometry.size or size, size))
        lens = geometry.lenses[position]
        if id(lens) not in known.lenses:  # one object for each lens of the file: maps are made once for it
            height, width = geometry.size or size
            known.lenses[id(lens)] = lens.scaled(size[1] / width, size[0] / height)
        return known.lenses[id(lens)]

    def _view(self, sequence: str, known: Known) -> np.ndarray | None:
        place = self._place(sequence)
        own = file_beside(place, ("mask.png",))
        if self._mask == "none":
            return None
        if self._mask != "auto" or own is not None:
            return read_view(str(own if self._mask == "auto" else self._mask), known.size, known.size)
        if place.video is not None:
            samples = place.open(self._reading).samples(VIEW_SAMPLES)
        else:
            paths = list(place.images.values())
            places = np.unique(np.linspace(0, len(paths) - 1, VIEW_SAMPLES).round().astype(int))
            samples = [image for i in places if (image := _readable(paths[i])) is not None]
        samples = [image for sample in samples if (image := half_of(sample, self._stereo)).shape[:2] == known.size]
        if not samples or place.video is None:
            return detect_view(samples) if samples else None
        video = place.open(self._reading)
        return detect_view(samples, varied(samples, lambda: (half_of(frame.rgb, self._stereo) for frame in video)))

    def _place(self, sequence: str) -> SequencePlace:
        if sequence not in self._found:
            raise UserError(f"{sequence}: not below {self.root}, which holds {', '.join(list(self._found)[:5])}")
        return self._found[sequence]

    def _known(self, sequence: str) -> Known:
        if sequence not in self._loaded:
            self._loaded[sequence] = read_known(self._place(sequence), self._given)
        return self._loaded[sequence]


def sparse_depth(points: np.ndarray, full_size: Size, size: Size) -> np.ndarray:
    """Returns float32 [H, W] with the Z of each point at its nearest pixel (the smaller of two), and 0 elsewhere.

    Args:
      points: [n, 3], u, v and Z.
      full_size: (height, width) of the image that u and v refer to.
      size: (H, W).
    """
    height, width = size
    uv = np.round(_resized_points(points, full_size, size)).astype(int)
    inside = (uv >= 0).all(axis=1) & (uv < (width, height)).all(axis=1) & (points[:, 2] > 0)
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (uv[inside, 1], uv[inside, 0]), points[inside, 2].astype(np.float32))
    return valid_depth(depth)


def _resized_points(points: np.ndarray, full_size: Size, size: Size) -> np.ndarray:
    return resized_pixels(points[:, :2], np.array(size[::-1]) / np.array(full_size[::-1]))


def _readable(path: Path) -> np.ndarray | None:
    try:
        return read_rgb(path)
    except Unreadable:
        return None
