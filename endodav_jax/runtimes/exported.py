"""Networks run by onnxruntime or OpenVINO for the package's own inference; windows, alignment and writers are shared.

The exported files are kept in a cache folder under the digest of the network, so that each is exported once, by
whichever process needs it first; parts needed only for live sources are exported when one is used.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from endodav_jax.checkpoints.card import Card
from endodav_jax.choices import Precision
from endodav_jax.errors import UserError
from endodav_jax.export.export import digest_of_weights, write_parts
from endodav_jax.export.manifest import MANIFEST_NAME, Manifest
from endodav_jax.export.onnx_file import OPSET
from endodav_jax.export.sessions import Session, open_session
from endodav_jax.files import CannotWriteError, make_folder, remove, sha256_of_text
from endodav_jax.inference.network import Bank
from endodav_jax.inference.runtimes import Engine
from endodav_jax.inference.streaming import StreamState, advance, time_places
from endodav_jax.inference.windows import WINDOW_FRAMES
from endodav_jax.models import DepthModelConfig
from endodav_jax.process import CACHE_VARIABLE, cache_folder
from endodav_jax.version import __version__

# Parts by use; the complete network of `endodav export` is not used here.
USES = {"video": ("encode", "coarse", "fine"), "stream": ("stream_first", "stream_step"), "frames": ("frame",)}

FileOf = Callable[[str], Path]  # name of a part -> its file, which is written on first use
Tell = Callable[[str], object]  # shows a line to the user

_PROGRAM_FOLDERS = ("export", "geometry", "inference", "models", "runtimes")


def silent(line: str) -> None:
    """A `Tell` that shows nothing."""


class ExportedNetwork:
    """A `Network` of exported parts; features are on the host."""

    def __init__(self, config: DepthModelConfig, file_of: FileOf, engine: Engine, compute: Precision = "float32"):
        """Takes the merged configuration, the file of each part, and the engine.

        Parts are opened on first use: a video needs none of the parts for streams.
        """
        self.config = config
        self._open: Callable[[str], Session] = lambda part: open_session(file_of(part), engine, compute)
        self._sessions: dict[str, Session] = {}

    def empty_bank(self, rows: int) -> Bank:
        """See `Network`."""
        frame = np.zeros((1, *self.config.image_shape, 3), np.float32)
        return tuple(np.zeros((rows, *leaf.shape[1:]), leaf.dtype) for leaf in self._encode(frame))

    def encode_into(self, bank: Bank, images, row: int) -> Bank:
        """See `Network`."""
        for i, image in enumerate(np.asarray(images)):
            for rows, new in zip(bank, self._encode(image[None]), strict=True):
                rows[row + i] = new[0]
        return bank

    def select(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        """See `Network`."""
        return tuple(leaf[rows] for leaf in bank)

    def carry(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        """See `Network`."""
        for leaf in bank:
            leaf[: len(rows)] = leaf[rows]
        return bank

    def coarse(self, features: Bank) -> np.ndarray:
        """See `Network`."""
        windows = range(0, len(features[0]), WINDOW_FRAMES)
        run = self.session("coarse")
        return np.concatenate([run(*(leaf[i : i + WINDOW_FRAMES] for leaf in features[:2]))[0] for i in windows])

    def fine(self, path_3: np.ndarray, features: Bank, first: int, count: int) -> Float32[np.ndarray, "count h w"]:
        """See `Network`."""
        run, (skip_2, skip_1) = self.session("fine"), features[2:]
        rows = (slice(i, i + 1) for i in range(first, first + count))
        return np.concatenate([run(path_3[row], skip_2[row], skip_1[row])[0] for row in rows])

    def single_frames(self, images) -> Float32[np.ndarray, "N h w"]:
        """See `Network`."""
        run = self.session("frame")
        return np.concatenate([run(channels_first(image[None]))[0] for image in np.asarray(images)])

    def stream_step(self, image, step: int, state):
        """See `Network`."""
        frames = channels_first(np.asarray(image))
        if state is None:
            disparity, *caches = self.session("stream_first")(frames)
            return disparity, StreamState.of(caches)
        disparity, *entries = self.session("stream_step")(frames, time_places(step), *state.seen)
        advance(state, entries, step)
        return disparity, state

    def prepare(self, use: str, alone: bool = False) -> None:
        """Writes and opens all parts of a use now, rather than when they are first needed.

        Args:
          use: a key of `USES`.
          alone: no other use will follow, so the weights that its parts would be exported from are released.
        """
        for part in USES[use if self.config.family_entry.windows else "frames"]:
            self.session(part)
        if alone:
            self._open = _released

    def session(self, part: str) -> Session:
        """The session of a part, opened on first use."""
        if part not in self._sessions:
            self._sessions[part] = self._open(part)
        return self._sessions[part]

    def _encode(self, image: Float32[np.ndarray, "1 h w 3"]) -> list[np.ndarray]:
        return self.session("encode")(channels_first(image))


def _released(part: str) -> Session:
    raise RuntimeError(f"{part}: of a use that the network was not prepared for")


def use_of(part: str) -> str:
    """The use that needs a part."""
    return next(use for use, parts in USES.items() if part in parts)


def folder_suffix(use: str) -> str:
    """What names a use in cached folders: its parts, so that files of a version with other parts are not taken."""
    return "-".join(USES[use])


def network_digest(config: DepthModelConfig, params: dict) -> str:
    """Names a network among cached files: by its weights and by its configuration, which is part of the programs."""
    described = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return sha256_of_text(f"{digest_of_weights(params)} {described}")[:24]


@functools.cache
def programs_digest() -> str:
    """Names the version and the code that exported programs come from, so that those of others are not taken."""
    package = Path(__file__).parents[1]
    files = sorted(file for folder in _PROGRAM_FOLDERS for file in (package / folder).glob("*.py"))
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return f"{__version__}-{sha256_of_text(code)[:12]}"


def cached(
    folder: Path,
    write: Callable[[Path], object],
    check: Callable[[Manifest], object] = lambda about: None,
    tell: Tell = silent,
    first: str = "",
) -> Manifest:
    """Returns the manifest of a cached folder, written first where it is missing or damaged.

    Args:
      folder: in `process.cache_folder()`.
      check: raises `UserError` for a manifest that lacks what is needed.
      write: writes it, with a manifest, through `whole_file(folder, keep=True)`.
      tell: takes a line for the user.
      first: what to tell before it is written, which takes a while.

    Raises:
      UserError: the cache cannot be written.
    """
    if os.path.lexists(folder):
        try:
            about = Manifest.of_folder(folder)
            if not about.digests.keys() >= set(about.parts.values()):
                raise UserError(f"{folder / MANIFEST_NAME}: lacks digests")
            check(about)
            about.check_files(folder)
        except UserError as error:
            tell(f"{str(error).split(';')[0]}; writing it anew")
            remove(folder)
        else:
            return about
    if first:
        tell(first)
    try:
        make_folder(folder.parent)
        write(folder)
    except CannotWriteError as error:
        raise UserError(f"{error}, by {CACHE_VARIABLE}") from error
    return Manifest.of_folder(folder)


def cached_export(config: DepthModelConfig, params: dict, tell: Tell = silent) -> FileOf:
    """Returns the network's ONNX files, written on first use unless an earlier run has done so.

    Args:
      config: with merged adapters, in float32.
      params: likewise, on the host.
      tell: takes a line for the user before something is written.
    """
    name = f"onnx{OPSET}-{programs_digest()}-{config.family}-{network_digest(config, params)}"

    @functools.cache
    def files(use: str) -> dict[str, Path]:
        def write(folder: Path) -> None:
            write_parts(config, params, Card("cached", "as of the weights"), folder, "onnx", only=USES[use], keep=True)

        def check(about: Manifest) -> None:
            if about.parts.keys() != set(USES[use]):
                raise UserError(f"{folder / MANIFEST_NAME}: holds other parts than {', '.join(USES[use])}")

        folder = cache_folder() / f"{name}-{folder_suffix(use)}"
        about = cached(folder, write, check, tell, "exporting the network to ONNX, once for these weights")
        return {part: folder / file for part, file in about.parts.items()}

    return lambda part: files(use_of(part))[part]


def channels_first(images: Float32[np.ndarray, "N h w 3"]) -> Float32[np.ndarray, "N 3 h w"]:
    """Frames in the axis order of exported parts."""
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))
