"""`endodav export`: a fine-tuned network as the small file of what was trained, or with its adapters folded in."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from endodav_jax.fields import positional, spelled
from endodav_jax.jobs.convert import named_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes what fine-tuning added as a small file, or a network with its adapters folded in.

    Attributes:
      source: checkpoint folder, or published weights with an adapter.
      out: FILE.safetensors, or with --what merged also a folder.
      output: the same, by name.
      what: adapter for the trained tensors alone, to be applied to the public weights; merged for the whole depth
        network without adapters, under PyTorch's names in a .safetensors file or as a checkpoint folder.
      overwrite: replace an older output.
    """

    source: Annotated[Path, *positional("CHECKPOINT")]
    out: Annotated[Path | None, *positional("OUT")] = None
    output: Annotated[Path | None, spelled("-o", metavar="OUT")] = None
    what: Literal["adapter", "merged"] = "adapter"
    overwrite: bool = False


def run(command: Command) -> None:
    """Exports and prints what was written."""
    out = named_output(command.out, command.output, "endodav export CHECKPOINT OUT")
    from endodav_jax.checkpoints import export_adapter, export_merged

    if command.what == "adapter":
        export_adapter(command.source, out, command.overwrite)
        print(f"written: {out} ({out.stat().st_size / 1e6:.2f} MB); apply it: endodav convert BASE OUT --adapter {out}")
    else:
        export_merged(command.source, out, command.overwrite)
        print(f"written: {out}")
