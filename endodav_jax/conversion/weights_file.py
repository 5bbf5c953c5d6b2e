"""A weights file of any supported format as one flat state dict under PyTorch's names."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import safetensors

from endodav_jax.conversion.torch_file import read_torch_file
from endodav_jax.conversion.wrappings import Found, find_network, shown
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of

SUFFIXES = (".pth", ".pt", ".safetensors")
_PART = re.compile(r"-(\d+)-of-(\d+)$")  # how large networks' weights are named that are saved in several files


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """A state dict and what came with it.

    Attributes:
      path: path of the file.
      tensors: PyTorch name -> array in PyTorch's layout; possibly read-only views of the file.
      entries: entries that are not tensors, such as EndoDAV's `height`, `width`, `use_stereo`.
      metadata: of a safetensors file; empty for `.pth`.
      place: the entry of the file that the tensors come from; empty if that is the file itself.
      notes: which parts of the file were left out, one sentence each.
    """

    path: Path
    tensors: dict[str, np.ndarray]
    entries: dict[str, object]
    metadata: dict[str, str]
    place: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file and the entry in it, for messages."""
        return f"{self.path} (entry {self.place})" if self.place else str(self.path)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return sha256_of(self.path)


def read_weights_file(path: Path | str) -> WeightsFile:
    """Reads a `.pth`, `.pt` or `.safetensors` file; the bytes decide which it is, not the suffix.

    Dicts around the state dict, what training programs save beside it, and the marks of wrappers in its names are
    taken off; see `wrappings`.

    Raises:
      UserError: missing, unreadable, damaged, refused (see `torch_file`), one of several parts, or without a single
        tensor.
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
    part = _PART.search(path.stem)
    if part is not None and int(part[2]) > 1:
        raise UserError(
            f"{path}: is part {int(part[1])} of {int(part[2])} of a network's weights; "
            "load them with PyTorch and save them as one file"
        )
    metadata: dict[str, str] = {}
    # safetensors: the length of a JSON header, then the header.
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < size:
        saved, metadata = _read_safetensors(path)
    else:
        saved = read_torch_file(path)
    found = _network(path, saved)
    place = shown(found.place) if found.place else ""
    return WeightsFile(path, found.tensors, found.entries, metadata, place, found.notes())


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except AttributeError as error:  # of NumPy, for a type that it lacks
        raise UserError(
            f"{path}: holds numbers that NumPy cannot read ({error}); write it as float32 or bfloat16"
        ) from error
    except (safetensors.SafetensorError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: is truncated or damaged ({reason}); download or copy it again") from error


def _network(path: Path, saved) -> Found:
    found = find_network(saved)
    if found is None:
        if isinstance(saved, dict) and "param_groups" in saved:
            raise UserError(f"{path}: is an optimiser's state (such as adam.pth); name the network's weights")
        if isinstance(saved, dict) and not all(isinstance(name, str) for name in saved):
            raise UserError(f"{path}: is no state dict: its keys are not names; save model.state_dict()")
        names = ", ".join(ascii(name)[1:-1][:60] for name in list(saved)[:5]) if isinstance(saved, dict) else ""
        what = f"entries: {names}" if names else f"a {type(saved).__name__}"
        raise UserError(f"{path}: holds no tensors under names ({what}); save model.state_dict()")
    if not all(name.isprintable() for name in found.tensors):
        raise UserError(f"{path}: refused: it has tensors with unprintable names")
    return found
