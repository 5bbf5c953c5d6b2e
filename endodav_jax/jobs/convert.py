"""`endodav convert`: converts published PyTorch weights to a checkpoint folder, and weights back to PyTorch's names."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from endodav_jax.choices import OutputKind
from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Converts published PyTorch weights to a checkpoint folder, or back to PyTorch's names.

    Attributes:
      source: weights of Video-Depth-Anything, Depth Anything, EndoDAV, EndoDAC or torchvision's ResNets (.pth, .pt,
        .safetensors), a training folder with depth_model.pth, or a checkpoint folder of this program.
      out: folder to write (or, with --to safetensors, FILE.safetensors).
      output: the same, as an option.
      to: orbax for a checkpoint folder of this package; safetensors for PyTorch's names and layouts.
      family: for files whose tensor names are ambiguous: vda or endodav for video weights without adapters, vda (V2) or
        endodac (V1) for Depth Anything's image weights.
      adapter: an adapter file (`endodav export --what adapter`) to add to the weights.
      output_kind: what the network outputs for each frame: disparity, or metric_depth (metres); by default inferred
        from the file name.
      overwrite: replace an existing output.
    """

    source: Annotated[str, *positional("SOURCE")]
    out: Annotated[Path | None, *positional("OUT")] = None
    output: Annotated[Path | None, spelled("-o", metavar="OUT")] = None
    to: Literal["orbax", "safetensors"] = "orbax"
    family: str | None = None
    adapter: Annotated[Path | None, spelled(metavar="FILE")] = None
    output_kind: OutputKind | None = None
    overwrite: bool = False


def run(command: Command) -> None:
    """Converts and prints what was found."""
    out = named_output(command.out, command.output, "endodav convert SOURCE OUT")
    from endodav_jax.checkpoints import convert

    card = convert(
        command.source, out, command.to, command.family, command.adapter, command.overwrite, command.output_kind
    )
    print(card.what)
    for note in card.notes:
        print(f"  {note}")
    print(f"licence: {card.licence}")
    print(f"written: {out}")


def named_output(out: Path | None, output: Path | None, usage: str) -> Path:
    """Returns the output, given as argument or option; raises `UserError` unless it is given exactly once."""
    named = [path for path in (out, output) if path is not None]
    if len(named) != 1:
        raise UserError(f"OUT: name the output once: {usage}")
    return named[0]
