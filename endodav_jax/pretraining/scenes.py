"""Rendered phantom scenes as a random-access source for Grain, each rendered once and kept on disk."""

import dataclasses
import threading
from pathlib import Path

import grain
import jax
import numpy as np

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from endodav_jax.files import sha256_of_text, whole_file

_RENDERING = threading.Lock()
_SCENES = 2**40  # more than any run draws
FAR_SCENE_FRAMES = 400  # single frames of a scene are drawn from this long a stretch of its path

# Key of an element -> what the renderer calls it.
_KEYS = {"frames": "frame", "depth_mm": "depth_mm", "cam_from_world": "cam_from_world", "intrinsics": "intrinsics"}
PICTURES = ("frames", "depth_mm")


@dataclasses.dataclass(frozen=True)
class PhantomScenes:
    """`source[i]` is scene i: frames uint8 [T,H,W,3], depth_mm float32 [T,H,W] (0 invalid), cam_from_world float32
    [T,4,4] (mm), intrinsics float32 [4] (pixels).

    Attributes:
      phantom: the data set; its `sequences` is how many scenes there are, its `frames` is T.
      consecutive: neighbouring frames from a random start, or frames drawn at random along the path.
      cache: folder of rendered scenes, one subfolder a data set; empty to render every time.
    """

    phantom: PhantomConfig
    consecutive: bool
    cache: str = ""

    def __len__(self) -> int:
        return self.phantom.sequences

    def __getitem__(self, scene: int) -> dict[str, np.ndarray]:
        if not self.cache:
            return self._render(scene)
        path = self._folder / f"{scene:06d}.npz"
        with _RENDERING:  # two threads may ask for one scene at once
            if not path.exists():
                rendered = self._render(scene)
                with whole_file(path) as part:
                    # Half floats hold 3..150 mm to 0.05%; the finer digits teach nothing.
                    np.savez(part, **rendered | {"depth_mm": rendered["depth_mm"].astype(np.float16)})
        with np.load(path) as file:
            return {**file, "depth_mm": file["depth_mm"].astype(np.float32)}

    @property
    def _folder(self) -> Path:
        """Named by everything that the pictures depend on, so that another data set never finds these files."""
        identity = repr((dataclasses.replace(self.phantom, sequences=1), self.consecutive, _KEYS))
        return Path(self.cache) / f"{self.phantom.family}_{sha256_of_text(identity)[:12]}"

    def _render(self, scene: int) -> dict[str, np.ndarray]:
        phantom = self.phantom
        rng = np.random.default_rng([phantom.seed, scene])
        if self.consecutive:
            numbers = rng.integers(FAR_SCENE_FRAMES) + np.arange(phantom.frames)
        else:
            numbers = np.sort(rng.choice(FAR_SCENE_FRAMES, phantom.frames, replace=False))
        clip = render_clip(
            draw_scene(phantom, scene), numbers.astype(np.int32), height=phantom.height, width=phantom.width
        )
        clip = jax.tree.map(np.asarray, clip)
        clip["intrinsics"] = clip["intrinsics"][0]  # one lens a scene
        return {key: clip[rendered] for key, rendered in _KEYS.items()}


@dataclasses.dataclass(frozen=True)
class Turned(grain.transforms.RandomMap):
    """Mirrors a scene left to right and top to bottom, each for half of the scenes: there is no up inside a body.

    The world is mirrored with it: with M = diag(±1, ±1, 1, 1) a pose becomes M @ pose @ M.
    """

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        signs = np.where(rng.random(2) < 0.5, -1, 1)
        turned = {name: np.ascontiguousarray(element[name][:, :: signs[1], :: signs[0]]) for name in PICTURES}
        flip = np.array([*signs, 1, 1], np.float32)
        turned["cam_from_world"] = flip[:, None] * element["cam_from_world"] * flip
        size = np.array(element["frames"].shape[2:0:-1])
        focal, centre = np.split(element["intrinsics"], 2)
        turned["intrinsics"] = np.concatenate([focal, np.where(signs < 0, size - 1 - centre, centre)], dtype=np.float32)
        return turned


@dataclasses.dataclass(frozen=True)
class Jittered(grain.transforms.RandomMap):
    """Draws a colour jitter for each scene, to be applied on the device."""

    strength: float = 0.2
    hue: float = 0.05

    def random_map(self, element: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        factors = rng.uniform(1 - self.strength, 1 + self.strength, 3)
        jitter = np.array([*factors, rng.uniform(-self.hue, self.hue)], np.float32)
        return element | {"jitter": jitter, "jitter_order": rng.permutation(4).astype(np.int32)}


def scene_batches(source: PhantomScenes, batch_size: int, seed: int, start: int) -> grain.DatasetIterator:
    """An endless iterator of shuffled, augmented batches, standing before batch number `start`."""
    # Grain's own endless repetition overflows when it is cut into batches of one.
    batches = grain.MapDataset.source(source).seed(seed).shuffle().repeat(_SCENES // len(source))
    batches = batches.random_map(Turned()).random_map(Jittered()).batch(batch_size)
    return iter(batches[start:].to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))
