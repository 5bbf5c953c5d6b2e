"""Parts of a network as serialised StableHLO programs, with JAX's calling convention and versions in them."""

from pathlib import Path

import jax

from endodav_jax.export.parts import Part
from endodav_jax.models.platform import traced_for

PLATFORMS = ("cpu", "cuda", "tpu")
SUFFIX = ".stablehlo"


def write_stablehlo(parts: dict[str, Part], folder: Path) -> dict[str, str]:
    """Writes `folder/PART.stablehlo` for each part, each for CPU, CUDA and TPU; returns the file names by part.

    The programs are traced for no platform in particular: on a CPU, inference by this package, which cuts the work to
    the size of its cache, is faster.
    """
    files = {}
    for name, part in parts.items():
        with traced_for("any"):
            # A new function: traces are kept by function, and this one may have been traced for this machine.
            exported = jax.export.export(jax.jit(lambda *arrays, run=part.function: run(*arrays)), platforms=PLATFORMS)(
                *part.inputs.values()
            )
        files[name] = f"{name}{SUFFIX}"
        (folder / files[name]).write_bytes(exported.serialize())
    return files
