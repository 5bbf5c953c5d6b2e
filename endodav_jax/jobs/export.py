"""`endodav export`: a fine-tuned network as the small file of what was trained, or with its adapters folded in."""

import argparse
from pathlib import Path

from endodav_jax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, output and which of the two."""
    parser.add_argument("source", metavar="CHECKPOINT", help="checkpoint folder, or published weights with an adapter")
    parser.add_argument("out", metavar="OUT", nargs="?", help="FILE.safetensors, or with --what merged also a folder")
    parser.add_argument("-o", "--output", metavar="OUT", help="the same, by name")
    parser.add_argument(
        "--what",
        choices=("adapter", "merged"),
        default="adapter",
        help="adapter: the trained tensors alone, to be applied to the public weights (default); merged: the whole "
        "depth network without adapters, under PyTorch's names in a .safetensors file or as a checkpoint folder",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older output")


def run_arguments(args: argparse.Namespace) -> None:
    """Exports and prints what was written."""
    if (args.out is None) == (args.output is None):
        raise UserError("OUT: name the output once: endodav export CHECKPOINT OUT")
    out = Path(args.out or args.output)
    from endodav_jax.checkpoints import export_adapter, export_merged

    if args.what == "adapter":
        export_adapter(args.source, out, args.overwrite)
        print(f"written: {out} ({out.stat().st_size / 1e6:.2f} MB); apply it: endodav convert BASE OUT --adapter {out}")
    else:
        export_merged(args.source, out, args.overwrite)
        print(f"written: {out}")
