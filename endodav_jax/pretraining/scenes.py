"""Rendered phantom scenes of several families as a random-access source for Grain; each scene is rendered once."""

import dataclasses
import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import grain
import jax
import numpy as np

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.data.workers import endless, in_processes
from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz, sha256_of_text, whole_file
from endodav_jax.pretraining.config import FAR_SCENE_FRAMES
from endodav_jax.pretraining.wide_lens import render_bent, through_wide_lens

_RENDERING = threading.Lock()

# Key of an element -> its name in the renderer.
_KEYS = {"frames": "frame", "depth_mm": "depth_mm", "cam_from_world": "cam_from_world", "intrinsics": "intrinsics"}
PICTURES = ("frames", "depth_mm")
_INTERVALS = (1,)  # between consecutive frames; the names of existing caches depend on it


@dataclasses.dataclass(frozen=True)
class PhantomScenes:
    """`source[i]` is scene i: frames uint8 [T,H,W,3], depth_mm float32 [T,H,W] (0 invalid), cam_from_world float32
    [T,4,4] (mm), intrinsics float32 [4] (pixels), camera_strength float32 [].

    Attributes:
      phantom: the data set; its `sequences` is the number of scenes, its `frames` is T.
      consecutive: whether frames are consecutive from a random start, or drawn at random along the path.
      cache: folder of rendered scenes, one subfolder per data set; empty to render every time.
      wide_lenses: fraction of scenes seen through a wide lens that bends lines (`wide_lens`); their intrinsics hold in
        the centre alone.
      camera_strength: how far its frames are to be changed on the device (`other_cameras`); not part of what is kept.

    Raises:
      UserError: the phantom has a `codec`, which needs whole sequences.
    """

    phantom: PhantomConfig
    consecutive: bool
    cache: str = ""
    wide_lenses: float = 0.0
    camera_strength: float = 0.0

    def __post_init__(self):
        if self.phantom.codec:
            raise UserError(
                f"data.phantom.codec: {self.phantom.codec!r} needs whole sequences, not scenes; leave it empty"
            )

    def __len__(self) -> int:
        return self.phantom.sequences

    def __getitem__(self, scene: int) -> dict[str, np.ndarray]:
        return self._rendered(scene) | {"camera_strength": np.asarray(self.camera_strength, np.float32)}

    def _rendered(self, scene: int) -> dict[str, np.ndarray]:
        if not self.cache:
            return self._render(scene)
        path = self.path(scene)
        with _RENDERING:  # two threads may request the same scene
            if not path.exists():
                rendered = self._render(scene)
                with whole_file(path) as part:
                    # Half precision represents 3..150 mm to 0.05%, which is enough for training.
                    kept: dict[str, Any] = rendered | {"depth_mm": rendered["depth_mm"].astype(np.float16)}
                    np.savez(part, **kept)
        try:
            with open_npz(path) as file:
                return {**file, "depth_mm": file["depth_mm"].astype(np.float32)}
        except DAMAGED_NPZ as error:
            raise UserError(f"{path}: is damaged; delete it, and it is rendered again") from error

    def path(self, scene: int) -> Path:
        """The file of a scene in the cache."""
        return self._folder / f"{scene:06d}.npz"

    @functools.cached_property
    def _folder(self) -> Path:
        """Named by everything that the pictures depend on, so that files of different data sets cannot be confused."""
        parts = (dataclasses.replace(self.phantom, sequences=1), self.consecutive, _INTERVALS, _KEYS)
        version = FAMILIES[self.phantom.family].version
        more: tuple[Any, ...] = (self.wide_lenses,) if self.wide_lenses else ()
        more += (f"version {version}",) if version > 1 else ()
        identity = repr((*parts, *more))
        return Path(self.cache) / f"{self.phantom.family}_{sha256_of_text(identity)[:12]}"

    def _render(self, scene: int) -> dict[str, np.ndarray]:
        phantom = self.phantom
        rng = np.random.default_rng([phantom.seed, scene])
        if self.consecutive:
            numbers = rng.integers(FAR_SCENE_FRAMES) + np.arange(phantom.frames)
        else:
            numbers = np.sort(rng.choice(FAR_SCENE_FRAMES, phantom.frames, replace=False))
        drawn, size = draw_scene(phantom, scene), {"height": phantom.height, "width": phantom.width}
        if rng.random() < self.wide_lenses:
            drawn, bend = through_wide_lens(drawn, rng, **size)
            clip = render_bent(drawn, numbers.astype(np.int32), np.float32(bend), **size)
        else:
            clip = render_clip(drawn, numbers.astype(np.int32), **size)
        clip = jax.tree.map(np.asarray, clip)
        clip["intrinsics"] = clip["intrinsics"][0]  # one lens per scene
        return {key: clip[rendered] for key, rendered in _KEYS.items()}


class Mixture(Sequence[dict[str, np.ndarray]]):
    """The scenes of several families in order; to be shuffled."""

    def __init__(self, sources: Sequence[PhantomScenes]):
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, scene):
        which = int(np.searchsorted(self._ends, scene, side="right"))
        return self.sources[which][scene - int(self._ends[which]) + len(self.sources[which])]


def mixture(
    families: Sequence[tuple[str, float]],
    scenes: int,
    *,
    consecutive: bool,
    cache: str,
    wide_lenses: float = 0.0,
    camera_strength: float = 0.0,
    camera_strength_of: Sequence[tuple[str, float]] = (),
    **fields,
) -> Mixture:
    """Returns `scenes` scenes of families with the given weights; `fields` are fields of `PhantomConfig`.

    `camera_strength_of` has the strengths of families that differ from `camera_strength` in it.  `things`, which no
    endoscope sees, is never seen through a wide lens.
    """
    total = sum(weight for _, weight in families)
    counts = [max(1, round(scenes * weight / total)) for _, weight in families]
    return Mixture(
        [
            PhantomScenes(
                PhantomConfig.of(family, sequences=count, **fields),
                consecutive,
                cache,
                wide_lenses if FAMILIES[family].scope != "free" else 0.0,
                dict(camera_strength_of).get(family, camera_strength),
            )
            for (family, _), count in zip(families, counts, strict=True)
        ]
    )


@dataclasses.dataclass(frozen=True)
class Mirrored(grain.transforms.RandomMap):
    """Mirrors a scene left to right and top to bottom, each with probability 1/2: there is no up inside a body.

    The world is mirrored too: with M = diag(±1, ±1, 1, 1), a pose becomes M @ pose @ M.
    """

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        signs = np.where(rng.random(2) < 0.5, -1, 1)
        turned = element | {name: element[name][:, :: signs[1], :: signs[0]] for name in PICTURES}
        flip = np.array([*signs, 1, 1], np.float32)
        turned["cam_from_world"] = flip[:, None] * element["cam_from_world"] * flip
        size = np.array(element["frames"].shape[2:0:-1])
        focal, centre = np.split(element["intrinsics"], 2)
        turned["intrinsics"] = np.concatenate([focal, np.where(signs < 0, size - 1 - centre, centre)], dtype=np.float32)
        return turned


@dataclasses.dataclass(frozen=True)
class Jittered(grain.transforms.RandomMap):
    """Draws a colour jitter for each scene, and the seed of its camera, to be applied on the device."""

    strength: float = 0.2
    hue: float = 0.05

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        factors = rng.uniform(1 - self.strength, 1 + self.strength, 3)
        jitter = np.array([*factors, rng.uniform(-self.hue, self.hue)], np.float32)
        order = rng.permutation(4).astype(np.int32)
        return element | {
            "jitter": jitter,
            "jitter_order": order,
            "camera_seed": np.asarray(rng.integers(2**31), np.int32),
        }


@dataclasses.dataclass(frozen=True)
class Cropped(grain.transforms.RandomMap):
    """Crops each frame and resizes it to `shape`, as if seen through another lens; some are blurred or compressed.

    Poses and intrinsics are dropped, since the frames of a scene no longer share them.
    """

    shape: tuple[int, int]
    least: float = 0.5  # minimum side of the crop relative to the frame
    stretch: float = 0.15  # of its aspect ratio, in the logarithm
    blurred: float = 0.2
    compressed: float = 0.3

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        frames, depths = zip(
            *(self._part(*pair, rng) for pair in zip(element["frames"], element["depth_mm"], strict=True)), strict=True
        )
        rest = {name: element[name] for name in element.keys() - {*PICTURES, "cam_from_world", "intrinsics"}}
        return {"frames": np.stack(frames), "depth_mm": np.stack(depths)} | rest

    def _part(self, frame: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = np.array(depth.shape)
        side = rng.uniform(self.least, 1.0)
        stretch = np.exp(rng.uniform(-self.stretch, self.stretch) * np.array([0.5, -0.5]))
        part = np.minimum(np.round(size * side * stretch), size).astype(int)
        top, left = (int(rng.integers(spare + 1)) for spare in size - part)
        window = (slice(top, top + part[0]), slice(left, left + part[1]))
        wanted = self.shape[::-1]
        # Linear interpolation when enlarging, area averaging when reducing.
        method = cv2.INTER_AREA if part[0] > self.shape[0] else cv2.INTER_LINEAR
        frame = cv2.resize(np.ascontiguousarray(frame[window]), wanted, interpolation=method)
        if rng.random() < self.blurred:
            frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.4, 1.2))
        if rng.random() < self.compressed:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
            compressed = cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_UNCHANGED)
            assert compressed is not None  # encoded just now
            frame = compressed
        return frame, cv2.resize(np.ascontiguousarray(depth[window]), wanted, interpolation=cv2.INTER_NEAREST)


def scene_batches(
    source: Sequence,
    batch_size: int,
    seed: int,
    start: int,
    *more: grain.transforms.RandomMap,
    workers: int = 0,
) -> grain.DatasetIterator:
    """An endless iterator of shuffled, augmented batches, positioned before batch number `start`; to be closed.

    The batches do not depend on the number of workers.

    Args:
      source: the scenes.
      batch_size: scenes per batch.
      seed: of their order and of everything that is drawn.
      start: number of the first batch.
      *more: applied after the mirroring and before the jitter is drawn.
      workers: processes that make batches; 0 makes them in threads of this one.
    """
    # Grain's own endless repetition overflows when split into batches of one.
    batches = endless(grain.MapDataset.source(source).seed(seed).shuffle())
    for transform in (Mirrored(), *more, Jittered()):
        batches = batches.random_map(transform)
    batches = batches.batch(batch_size)[start:]
    batches = batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
    return iter(in_processes(batches, workers, on_the_cpu))


def on_the_cpu(*_: int) -> None:
    """Keeps a new process that renders or reads scenes off the accelerators: they take minutes to compile the
    renderer, and the training needs their memory."""
    jax.config.update("jax_platforms", "cpu")
