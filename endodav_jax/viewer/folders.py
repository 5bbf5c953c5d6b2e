"""Recordings from the folders written by `infer`, `reconstruct` and `evaluate`."""

import json
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz
from endodav_jax.geometry.pixels import resized_intrinsics
from endodav_jax.report.frame_keeper import FRAMES_FOLDER
from endodav_jax.video.recognise import META_SUFFIX, holds_recordings, is_written_by_a_command
from endodav_jax.viewer.recording import Unit, View, resized
from endodav_jax.viewer.stored import StoredFrames, StoredMaps

NAMED = 5  # of several clips


def open_folder(path: Path, sequence: str = "") -> "DepthClip | EvaluatedClip":
    """Opens the results of a command.

    Args:
      path: the folder.
      sequence: the sequence of an evaluation, or the clip in a folder with several; empty for the first, which then
        names the others in its notes.  The results of several recordings lie in folders of their own inside.

    Raises:
      UserError: there are no such results, or they are incomplete.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; name one written by `endodav infer`, `reconstruct` or `evaluate`")
    if (path / FRAMES_FOLDER).is_dir() and (path / "results.json").is_file():
        stored = {file.stem: file for file in sorted((path / FRAMES_FOLDER).glob("*.npz"))}
        return _with_others(EvaluatedClip(_one_of(stored, sequence, path)), stored)
    metas = {file.name.removesuffix(META_SUFFIX): file for file in sorted(path.glob(f"*{META_SUFFIX}"))}
    if metas:
        return _with_others(DepthClip(_one_of(metas, sequence, path)), metas)
    inner = {folder.name: folder for folder in _results_in(path)}
    if inner:
        return _with_others(open_folder(_one_of(inner, sequence, path)), inner)
    raise UserError(f"{path}: contains no depth; name a folder written by `endodav infer`, `reconstruct` or `evaluate`")


def holds_results(path: Path) -> bool:
    """Whether a path is a folder that `open_folder` can open, rather than a recording."""
    return path.is_dir() and (is_written_by_a_command(path) or (not holds_recordings(path) and bool(_results_in(path))))


def _results_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and is_written_by_a_command(path)]


def _one_of(results: dict[str, Path], name: str, folder: Path) -> Path:
    if not name and results:
        return next(iter(results.values()))
    if name in results:
        return results[name]
    raise UserError(f"--sequence {name}: {folder} has {', '.join(results) or 'none'}")


def _with_others(clip: "DepthClip | EvaluatedClip", results: dict[str, Path]) -> "DepthClip | EvaluatedClip":
    """Notes on a clip that there are others."""
    if len(results) > 1:
        names = [*list(results)[:NAMED], *(["..."] if len(results) > NAMED else [])]
        clip.notes.append(f"{len(results)} clips in this folder; choose with --sequence: {', '.join(names)}")
    return clip


class DepthClip:
    """The results of `endodav infer`, with the path and surface added by `endodav reconstruct`."""

    def __init__(self, meta: Path):
        """Opens a clip by its `*_meta.json`.

        Raises:
          UserError: a file beside it is missing or damaged.
        """
        folder, stem = meta.parent, meta.name.removesuffix(META_SUFFIX)
        about = _json(meta)
        for name, option in (("depths.npz", "--save npz"), ("src.mp4", "--videos src")):
            if not (folder / f"{stem}_{name}").is_file():
                raise UserError(
                    f"{folder / f'{stem}_{name}'}: missing, but required by the page; run again with {option}"
                )
        self._maps = StoredMaps(folder / f"{stem}_depths.npz")
        self._frames = StoredFrames(folder / f"{stem}_src.mp4")
        self._key = "depths_mm" if "depths_mm" in self._maps else "depths"
        _check_arrays(self._maps, self._key)
        self.numbers = self._maps.small["frame_index"].tolist()
        if len(self.numbers) != len(self._frames):
            raise UserError(
                f"{folder}: {len(self._frames)} frames and {len(self.numbers)} depths for {stem}; run the command again"
            )
        self.title, self.fps = stem, float(self._maps.small["fps"])
        self.unit = _unit(about, self._key)
        self.judged_name = "expected error" if "expected_errors" in self._maps else ""
        self.poses: list[np.ndarray | None] = [None] * len(self.numbers)
        self.surface: bytes | None = None
        self.notes = [f"{len(self.numbers)} frames", f"lengths in {self.unit.name}"]
        camera = about.get("intrinsics")
        if isinstance(camera, dict) and "guess" in str(camera.get("origin", "")):
            self.notes.append("the focal length is guessed: proportions may be wrong")
        if "pieces" in about and (folder / "cameras.json").is_file():  # this recording's: `reconstruct` wrote both
            self._read_path(folder)

    def _read_path(self, folder: Path) -> None:
        file = folder / "cameras.json"
        cameras = _json(file)
        try:
            by_number = {frame["frame"]: frame for frame in cameras["frames"]}
            for place, number in enumerate(self.numbers):
                frame = by_number.get(number, {})
                if frame.get("cam_from_world") is not None and frame.get("piece") == 1:
                    self.poses[place] = np.linalg.inv(np.asarray(frame["cam_from_world"], np.float64).reshape(4, 4))
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise UserError(
                f"{file}: not the camera path that `endodav reconstruct` writes ({error}); run it again"
            ) from error
        lost = sum(pose is None for pose in self.poses)
        if lost:
            self.notes.append(f"{lost} frames are not on the path of the longest piece")
        if (folder / "mesh.glb").is_file():
            self.surface = _whole_glb(folder / "mesh.glb")

    def intrinsics(self) -> np.ndarray:
        """See `Recording`."""
        return resized_intrinsics(self._maps.small["intrinsics"], self._maps.size(self._key), self._frames.size)

    def view(self, place: int) -> View:
        """See `Recording`."""
        size = self._frames.size
        depth = resized(self._maps.read(self._key, place), size, depth=True)
        judged = resized(self._maps.read("expected_errors", place), size, depth=True) if self.judged_name else None
        return View(self.numbers[place], self._frames[place], depth, judged)


class EvaluatedClip:
    """Frames of a sequence kept by `endodav evaluate`: aligned prediction, ground truth, and error."""

    def __init__(self, file: Path):
        """Opens `frames/NAME.npz` of an evaluation.

        Raises:
          UserError: it is damaged.
        """
        try:
            with open_npz(file) as stored:
                self._stored = dict(stored)
            self.numbers = self._stored["frame_index"].tolist()
            self._intrinsics = np.asarray(self._stored["intrinsics"], np.float64)
            poses = self._stored.get("cam_from_world")
        except DAMAGED_NPZ as error:
            raise UserError(f"{file}: cannot be read ({error}); run `endodav evaluate` again") from error
        self.title, self.fps, self.unit = file.stem, 5.0, Unit("mm")
        self.judged_name = "error"
        self.surface: bytes | None = None
        self.poses: list[np.ndarray | None] = [None] * len(self.numbers)
        if poses is not None and np.isfinite(poses).all():
            self.poses = [np.linalg.inv(pose) for pose in poses.astype(np.float64)]
        self.notes = [f"{len(self.numbers)} frames of the sequence", "depth aligned to the ground truth"]

    def intrinsics(self) -> np.ndarray:
        """See `Recording`."""
        return self._intrinsics

    def view(self, place: int) -> View:
        """See `Recording`."""
        rgb, depth, truth = (self._stored[key][place] for key in ("frames", "depth_mm", "truth_mm"))
        known = truth > 0
        error = np.where(known, np.abs(depth / np.where(known, truth, 1) - 1), 0).astype(np.float32)
        return View(self.numbers[place], rgb, depth, error, truth)


def _unit(about: dict, key: str) -> Unit:
    if key != "depths_mm":
        return Unit("m") if about.get("output") == "metric_depth" else Unit()
    stored = about.get("scale")
    scale = stored if isinstance(stored, dict) else {}
    factor, interval = scale.get("mm_per_unit"), scale.get("interval_95")
    if factor and interval:
        return Unit("mm", (interval[0] / factor, interval[1] / factor))
    return Unit("mm")


def _check_arrays(maps: StoredMaps, key: str) -> None:
    """Raises: UserError: an .npz lacks what every run writes, or its intrinsics are none."""
    arrays = maps.small
    missing = [name for name in ("frame_index", "fps", "intrinsics") if name not in arrays]
    missing += [key] if key not in maps else []
    if missing:
        raise UserError(f"{maps.path}: has no {missing[0]}; run `endodav infer` again")
    intrinsics = arrays["intrinsics"]
    if intrinsics.shape != (4,) or not np.isfinite(intrinsics).all() or (intrinsics[:2] <= 0).any():
        raise UserError(
            f"{maps.path}: its intrinsics {intrinsics.tolist()} are not fx, fy, cx, cy; run the command again"
        )


def _whole_glb(path: Path) -> bytes:
    """The content of a binary glTF, whose header tells its length; raises UserError if it is none or cut."""
    content = path.read_bytes()
    if content[:4] != b"glTF" or int.from_bytes(content[8:12], "little") != len(content):
        raise UserError(f"{path}: damaged, or not a binary glTF; run `endodav reconstruct` again")
    return content


def _json(path: Path) -> dict:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the command that wrote it again") from error
    if not isinstance(read, dict):
        raise UserError(f"{path}: not what our commands write; run the command that wrote it again")
    return read
