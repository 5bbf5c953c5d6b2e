"""Reads the golden cases: arrays, manifests, and the weights that a manifest and a seed give."""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class GoldenCases:
    """A folder of golden cases and the seed of its weights."""

    folder: Path
    seed: int

    @classmethod
    def from_environment(cls) -> "GoldenCases":
        """Takes `ENDODAV_GOLDEN_DIR` (default: the copy beside this file) and `ENDODAV_GOLDEN_SEED` (default 0)."""
        folder = Path(os.environ.get("ENDODAV_GOLDEN_DIR") or Path(__file__).parent / "golden")
        return cls(folder, int(os.environ.get("ENDODAV_GOLDEN_SEED") or 0))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of `name`.npz."""
        with np.load(self.folder / f"{name}.npz") as file:
            return {key: file[key] for key in file.files}

    def json(self, name: str) -> dict:
        """The contents of `name`.json."""
        return json.loads((self.folder / f"{name}.json").read_text())

    def state_dict(self, name: str) -> dict[str, np.ndarray]:
        """The PyTorch state dict of `manifest_<name>.json`, its values rebuilt from names, shapes and the seed."""
        spec = importlib.util.spec_from_file_location("golden_weights", self.folder / "weights.py")
        weights = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(weights)
        return weights.make_state_dict(self.json(f"manifest_{name}"), self.seed)


def relative_error(value, expected) -> float:
    """Largest difference over the largest expected magnitude."""
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    assert value.shape == expected.shape, f"{value.shape} against {expected.shape}"
    return float(np.abs(value - expected).max() / np.abs(expected).max())
