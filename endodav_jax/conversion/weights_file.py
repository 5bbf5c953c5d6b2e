"""A file of weights, of whichever format, as one flat state dict under PyTorch's names."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import safetensors

from endodav_jax.conversion.torch_file import read_torch_file
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of

# Keys under which training programs keep the state dict among epoch, optimiser and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
_MAX_WRAPPERS = 3
SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A state dict and what came with it.

    Attributes:
      path: of the file.
      tensors: PyTorch name -> array in PyTorch's layout; possibly read-only views of the file.
      entries: entries that are no tensors, such as EndoDAV's `height`, `width`, `use_stereo`.
      metadata: of a safetensors file; empty for `.pth`.
    """

    path: Path
    tensors: dict[str, np.ndarray]
    entries: dict[str, object]
    metadata: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return sha256_of(self.path)


def read_weights_file(path: Path | str) -> WeightsFile:
    """Reads a `.pth`, `.pt` or `.safetensors` file; the bytes decide which it is, not the suffix.

    Dicts that only wrap the state dict (`{"model": ...}`, `{"state_dict": ...}`) and DataParallel's `module.` are
    taken off.

    Raises:
      UserError: missing, unreadable, damaged, refused (see `torch_file`), or without a single tensor.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file of weights in it")
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder of weights")
    try:
        with open(path, "rb") as file:
            head = file.read(9)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    metadata: dict[str, str] = {}
    # safetensors: the length of a JSON header, then the header.
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < size:
        saved, metadata = _read_safetensors(path)
    else:
        saved = read_torch_file(path)
    state = _unwrapped(path, saved)
    tensors = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    entries = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return WeightsFile(path, tensors, entries, metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: is truncated or damaged ({reason}); download or copy it again") from error


def _unwrapped(path: Path, saved) -> dict[str, object]:
    """Returns the innermost dict that holds tensors."""
    for _ in range(_MAX_WRAPPERS + 1):
        if not isinstance(saved, dict):
            break
        if not all(isinstance(name, str) for name in saved):
            raise UserError(f"{path}: is no state dict: its keys are not names; save model.state_dict()")
        if any(isinstance(value, np.ndarray) for value in saved.values()):
            if not all(name.isprintable() for name in saved):
                raise UserError(f"{path}: refused: it has tensors with unprintable names")
            return saved
        if "param_groups" in saved:
            raise UserError(f"{path}: is an optimiser's state (such as adam.pth); name the network's weights")
        inner = next((saved[name] for name in _WRAPPERS if isinstance(saved.get(name), dict)), None)
        if inner is None:
            break
        saved = inner
    raise UserError(f"{path}: holds no tensors under names; save model.state_dict()")
