"""Writes parts of a network as serialised StableHLO programs, including JAX's calling convention and versions."""

from pathlib import Path

import jax

from endodav_jax.export.parts import Part
from endodav_jax.models.platform import traced_for

PLATFORMS = ("cpu", "cuda", "tpu")
SUFFIX = ".stablehlo"


def write_stablehlo(parts: dict[str, Part], folder: Path) -> tuple[dict[str, str], dict[str, object]]:
    """Writes `folder/PART.stablehlo` for each part, each for CPU, CUDA and TPU.

    Returns the file names by part, and what a reader must support: the versions of JAX and of its calling convention,
    and the platforms.

    The programs are not traced for a particular platform: on a CPU, inference with this package is faster, since it
    splits the work to fit in the cache.
    """
    files: dict[str, str] = {}
    needed: dict[str, object] = {"jax": jax.__version__, "platforms": list(PLATFORMS)}
    for name, part in parts.items():
        with traced_for("any"):
            # A new function, since traces are cached per function and this one may have been traced for this machine.
            exported = jax.export.export(jax.jit(lambda *arrays, run=part.function: run(*arrays)), platforms=PLATFORMS)(
                *part.inputs.values()
            )
        files[name] = f"{name}{SUFFIX}"
        (folder / files[name]).write_bytes(exported.serialize())
        needed["calling_convention_version"] = exported.calling_convention_version
    return files, needed
