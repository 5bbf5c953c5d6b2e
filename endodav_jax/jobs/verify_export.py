"""`endodav verify-export`: checks that exported files compute the same as the network."""

import dataclasses
from pathlib import Path
from typing import Annotated

from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED
from endodav_jax.fields import positional, spelled
from endodav_jax.inference.runtimes import Engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compares exported files with the original network, on random frames and on real or rendered ones.

    Attributes:
      file: a folder written by `endodav export`, or its FILE.onnx.
      weights: the weights that were exported.
      input: a video to take 40 frames from; empty for a rendered one.
      engine: runtime for the files; by default onnxruntime for .onnx, OpenVINO for its own files, JAX for StableHLO.
    """

    file: Annotated[Path, *positional("FILE")]
    weights: str
    input: Annotated[str, spelled("-i")] = ""
    engine: Engine | None = None


def run(command: Command) -> int:
    """Compares, prints a line per part, and returns 1 if a difference is too large."""
    from endodav_jax.export.verify import example_clip, read_manifest, verify_export

    manifest, _ = read_manifest(command.file)
    clips = example_clip(command.input, manifest)
    found = verify_export(command.file, command.weights, clips, command.engine)
    print(f"{command.file}: {manifest.format}, {manifest.storage}; differences relative to each output's range")
    for difference in found:
        shares = f"largest {difference.largest:.1e}  mean {difference.mean:.1e}"
        excess = difference.excess(manifest.storage)
        print(f"  {difference.part:13} {difference.frames:10} {shares}  {excess}".rstrip())
    return EXIT_SOME_FAILED if any(difference.excess(manifest.storage) for difference in found) else EXIT_OK
