"""`endodav export`: what fine-tuning added, a network without adapters, or files for other runtimes."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.jobs.convert import named_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes what fine-tuning added, a network with its adapters folded in, or files for other runtimes.

    Attributes:
      source: checkpoint folder, or published weights.
      out: FILE.safetensors for adapter and merged, FILE.onnx for a black box from frames to disparity; otherwise a
        folder.
      output: the same, by name.
      what: adapter for the trained tensors alone, to be applied to the public weights; merged for the whole depth
        network without adapters, under PyTorch's names in a .safetensors file or as a checkpoint folder; onnx,
        openvino or stablehlo for other runtimes.
      precision: of the weights in files for other runtimes.
      dynamic_batch: leave the batch of per-frame parts open (onnx, openvino).
      overwrite: replace an older output.
    """

    source: Annotated[Path, *positional("CHECKPOINT")]
    out: Annotated[Path | None, *positional("OUT")] = None
    output: Annotated[Path | None, spelled("-o", metavar="OUT")] = None
    what: Literal["adapter", "merged", "onnx", "openvino", "stablehlo"] = "adapter"
    precision: Literal["float32", "float16"] = "float32"
    dynamic_batch: bool = False
    overwrite: bool = False


def run(command: Command) -> None:
    """Exports and prints what was written."""
    out = named_output(command.out, command.output, "endodav export CHECKPOINT OUT")
    what = command.what
    if what == "adapter" or what == "merged":
        if command.precision != "float32" or command.dynamic_batch:
            raise UserError(
                f"--what {what}: takes neither --precision nor --dynamic-batch; they are for other runtimes"
            )
        from endodav_jax.checkpoints import export_adapter, export_merged

        (export_adapter if what == "adapter" else export_merged)(command.source, out, command.overwrite)
        size = f" ({out.stat().st_size / 1e6:.2f} MB); apply it: endodav convert BASE OUT --adapter {out}"
        print(f"written: {out}" + (size if what == "adapter" else ""))
        return
    from endodav_jax.export.export import export_network

    about = export_network(
        command.source, out, what, command.precision, command.dynamic_batch, overwrite=command.overwrite
    )
    print(f"written: {out}: {', '.join(about.parts.values())}; licence: {about.card.licence}")
    print(f"check it: endodav verify-export {out} --weights {command.source}")
