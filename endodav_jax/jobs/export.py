"""`endodav export`: writes an adapter file, a network without adapters, or files for other runtimes."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.jobs.convert import named_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes an adapter file (what fine-tuning added), a network with adapters folded in, or files for other runtimes.

    Attributes:
      source: checkpoint folder, or published weights.
      out: FILE.safetensors for adapter and merged, FILE.onnx for a single network from frames to disparity; otherwise
        a folder.
      output: the same, as an option.
      what: adapter for the trained tensors only, to be applied to the public weights; merged for the complete depth
        network without adapters, with PyTorch's names in a .safetensors file or as a checkpoint folder; onnx, openvino
        or stablehlo for other runtimes.
      precision: precision of the weights in files for other runtimes.
      dynamic_batch: make the batch size of the per-frame parts dynamic (onnx, openvino; a folder of parts, or a single
        network that takes frame by frame).
      overwrite: replace an existing output.
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
                f"--what {what}: does not accept --precision or --dynamic-batch; they are for other runtimes"
            )
        if out.suffix == ".onnx":
            raise UserError(f"{out}: --what {what} does not write .onnx files; add --what onnx")
        from endodav_jax.checkpoints import export_adapter, export_merged

        (export_adapter if what == "adapter" else export_merged)(command.source, out, command.overwrite)
        size = f" ({out.stat().st_size / 1e6:.2f} MB); to apply it: endodav convert BASE OUT --adapter {out}"
        print(f"written: {out}" + (size if what == "adapter" else ""))
        return
    from endodav_jax.export.export import export_network

    about = export_network(
        command.source, out, what, command.precision, command.dynamic_batch, overwrite=command.overwrite
    )
    print(f"written: {out}: {', '.join(about.parts.values())}; licence: {about.card.licence}")
    print(f"to check it: endodav verify-export {out} --weights {command.source}")
