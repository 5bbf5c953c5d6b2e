"""Deterministic test weights for the golden cases.

A golden case was computed by the published PyTorch models after every tensor of
their state dict was overwritten with the values this module makes.  So the same
weights can be rebuilt anywhere from a list of (name, shape), and no large
checkpoint has to travel with the tests.

    manifest = json.load(open("manifest_endodav_vits.json"))   # {name: shape}
    state_dict = make_state_dict(manifest, seed=0)               # {name: float32 array}
"""

import zlib

import numpy as np


def make_tensor(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Returns the test value of one state-dict entry, float32 (int64 for counters)."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    unit = rng.standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("lora_A", "lora_B") and shape[-1] == 1:  # SSB scale vectors, one at initialisation
        value = 1.0 + 0.1 * unit
    elif leaf.startswith("lora_"):  # LoRA / DV-LoRA factors
        value = 0.1 * unit
    elif leaf == "running_var":
        value = 1.0 + 0.2 * np.abs(unit)
    elif leaf == "running_mean":
        value = 0.1 * unit
    elif leaf == "gamma":  # layer scale
        value = 0.2 + 0.02 * unit
    elif leaf in ("bias", "cls_token", "pos_embed", "mask_token"):
        value = 0.05 * unit
    elif len(shape) == 1:  # normalisation scales
        value = 1.0 + 0.1 * unit
    else:  # linear and convolution kernels
        value = unit / np.sqrt(np.prod(shape[1:]))
    return value.astype(np.float32)


def make_state_dict(manifest: dict[str, list[int]], seed: int) -> dict[str, np.ndarray]:
    """Returns the whole state dict; `pe` buffers are the model's own and are not in manifests."""
    return {name: make_tensor(name, tuple(shape), seed) for name, shape in manifest.items()}
