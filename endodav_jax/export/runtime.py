"""Networks that onnxruntime or OpenVINO runs, for the package's own inference: windows, alignment and writers stay.

The exported files are kept in a cache folder under the digest of the weights, so that each network is exported once.
"""

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float32, Int

from endodav_jax.checkpoints.card import Card
from endodav_jax.errors import UserError
from endodav_jax.export.export import digest_of, merged_float32, write_parts
from endodav_jax.export.manifest import Manifest
from endodav_jax.export.onnx_file import OPSET
from endodav_jax.export.sessions import ComputeType, Engine, open_session
from endodav_jax.files import make_folder
from endodav_jax.inference.network import Bank, JaxNetwork, Network
from endodav_jax.inference.windows import WINDOW_FRAMES, Runtime
from endodav_jax.models import DepthModelConfig, merge_adapters
from endodav_jax.models.config import Precision
from endodav_jax.version import __version__

CACHE_VARIABLE = "ENDODAV_JAX_CACHE"


class ExportedNetwork:
    """A `Network` of exported parts; features live on the host."""

    def __init__(
        self, config: DepthModelConfig, folder: Path, parts: dict[str, str], engine: Engine, compute: ComputeType
    ):
        """Takes the merged configuration, the folder with the parts' files, and what runs them.

        Parts are opened when they are first needed: a video needs none of the stream's.
        """
        self.config = config
        self._open = lambda part: open_session(folder / parts[part], engine, compute)
        self._sessions: dict[str, object] = {}

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

    def coarse(self, features: Bank) -> np.ndarray:
        """See `Network`."""
        windows = range(0, len(features[0]), WINDOW_FRAMES)
        run = self._session("coarse")
        return np.concatenate([run(*(leaf[i : i + WINDOW_FRAMES] for leaf in features[:2]))[0] for i in windows])

    def fine(self, path_3: np.ndarray, features: Bank, first: int, count: int) -> Float32[np.ndarray, "count h w"]:
        """See `Network`."""
        run, (skip_2, skip_1) = self._session("fine"), features[2:]
        rows = (slice(i, i + 1) for i in range(first, first + count))
        return np.concatenate([run(path_3[row], skip_2[row], skip_1[row])[0] for row in rows])

    def single_frames(self, images) -> Float32[np.ndarray, "N h w"]:
        """See `Network`."""
        run = self._session("frame")
        return np.concatenate([run(_channels_first(image[None]))[0] for image in np.asarray(images)])

    def stream_step(self, image, step: int, state):
        """See `Network`."""
        frames = _channels_first(np.asarray(image))
        if state is None:
            disparity, *state = self._session("stream_first")(frames)
        else:
            disparity, *state = self._session("stream_next")(frames, np.array(step, np.int32), *state)
        return disparity, state

    def _encode(self, image: Float32[np.ndarray, "1 h w 3"]) -> list[np.ndarray]:
        return self._session("encode")(_channels_first(image))

    def _session(self, part: str):
        if part not in self._sessions:
            self._sessions[part] = self._open(part)
        return self._sessions[part]


def network_for(
    config: DepthModelConfig,
    params: dict,
    runtime: Runtime = "jax",
    precision: Precision | None = None,
) -> tuple[Network, str]:
    """The network as a runtime runs it, and one line that says which was taken and why.

    Args:
      config: of the network.
      params: its weights, with adapters or without.
      runtime: `auto` takes OpenVINO where it is installed and JAX runs on a CPU, otherwise JAX.
      precision: of activations; by default the configuration's.

    Raises:
      UserError: the runtime is not installed, or does not have the precision.
    """
    engine, why = choose_runtime(runtime)
    precision = precision or config.precision
    if engine == "jax":
        return JaxNetwork(*merge_adapters(dataclasses.replace(config, precision=precision), params)), why
    if engine == "onnxruntime" and precision != "float32":
        raise UserError(f"--precision {precision}: onnxruntime runs float32 here; use --runtime openvino or jax")
    config, merged = merged_float32(config, params)
    folder, parts = _exported(config, merged)
    compute: ComputeType = "bfloat16" if precision == "bfloat16" else "float32"
    return ExportedNetwork(config, folder, parts, engine, compute), why


def choose_runtime(runtime: Runtime) -> tuple[Literal["jax", "onnxruntime", "openvino"], str]:
    """The runtime to use, and why, in a line for the user."""
    if runtime != "auto":
        return runtime, f"runtime {runtime}"
    if jax.default_backend() != "cpu":
        return "jax", f"runtime jax: it uses this machine's {jax.default_backend()}"
    if importlib.util.find_spec("openvino") and importlib.util.find_spec("jax2onnx"):
        return "openvino", "runtime openvino: the fastest on a CPU (docs/benchmarks.md)"
    return "jax", 'runtime jax: OpenVINO is faster on a CPU but not installed; pip install "endodav-jax[onnx,openvino]"'


def cache_folder() -> Path:
    """Where exported networks are kept: `ENDODAV_JAX_CACHE`, or a folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE_VARIABLE) or Path(base) / "endodav_jax")


def _exported(config: DepthModelConfig, params: dict) -> tuple[Path, dict[str, str]]:
    """The folder with the network's ONNX files, written now unless an earlier run has."""
    folder = cache_folder() / f"onnx{OPSET}-{__version__}-{config.family}-{digest_of(params)[:24]}"
    make_folder(folder.parent)
    if not folder.is_dir():
        write_parts(config, params, Card("cached", "as of the weights"), folder, "onnx")
    return folder, Manifest.of_folder(folder).parts


def _channels_first(images: Float32[np.ndarray, "N h w 3"]) -> Float32[np.ndarray, "N 3 h w"]:
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))
