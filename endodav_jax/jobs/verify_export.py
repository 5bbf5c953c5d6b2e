"""`endodav verify-export`: whether exported files compute what the network computes."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED
from endodav_jax.fields import positional, spelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Compares exported files with the network that they were made of, on random frames and on real or rendered ones.

    Attributes:
      file: a folder that `endodav export` wrote, or its FILE.onnx.
      weights: what it was exported from.
      input: a video to take 40 frames from; empty for a rendered one.
      engine: what runs the files; by default onnxruntime for .onnx, OpenVINO for its own, JAX for StableHLO.
    """

    file: Annotated[Path, *positional("FILE")]
    weights: str
    input: Annotated[str, spelled("-i")] = ""
    engine: Literal["onnxruntime", "openvino", "jax"] | None = None


def run(command: Command) -> int:
    """Compares, prints a line a part, and returns 1 where a difference is too large."""
    from endodav_jax.export.verify import TOLERANCE, example_clip, read_manifest, verify_export

    manifest, _ = read_manifest(command.file)
    clips = example_clip(command.input, manifest)
    found = verify_export(command.file, command.weights, clips, command.engine)
    tolerance = TOLERANCE[manifest.storage]
    print(f"{command.file}: {manifest.format}, {manifest.storage}; differences as a share of each output's range")
    for difference in found:
        verdict = "" if difference.largest <= tolerance else f"  above {tolerance:g}"
        shares = f"largest {difference.largest:.1e}  mean {difference.mean:.1e}"
        print(f"  {difference.part:13} {difference.frames:10} {shares}{verdict}")
    return EXIT_OK if all(difference.largest <= tolerance for difference in found) else EXIT_SOME_FAILED
