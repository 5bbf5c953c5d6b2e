"""`endodav convert`: published PyTorch weights to a checkpoint folder, and any weights back to PyTorch's names."""

import argparse

from endodav_jax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, output and what to do where the source leaves it open."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="weights of Video-Depth-Anything, Depth Anything, EndoDAV, EndoDAC or torchvision's ResNets (.pth, .pt, "
        ".safetensors), a training folder with depth_model.pth, or a checkpoint folder of this program",
    )
    parser.add_argument("out", metavar="OUT", nargs="?", help="folder to write (or FILE.safetensors)")
    parser.add_argument("-o", "--output", metavar="OUT", help="the same, by name")
    parser.add_argument(
        "--to",
        choices=("orbax", "safetensors"),
        default="orbax",
        help="orbax: a checkpoint folder of this program (default); safetensors: PyTorch's names and layouts",
    )
    parser.add_argument(
        "--family",
        choices=("vda", "endodav", "endodac"),
        help="where the keys leave it open: vda or endodav for video weights without adapters, vda (V2) or endodac "
        "(V1) for Depth Anything's image weights",
    )
    parser.add_argument(
        "--adapter", metavar="FILE", help="add what fine-tuning saved (`endodav export --what adapter`) to the weights"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older output")


def run_arguments(args: argparse.Namespace) -> None:
    """Converts and prints what was found."""
    if (args.out is None) == (args.output is None):
        raise UserError("OUT: name the output once: endodav convert SOURCE OUT")
    from endodav_jax.checkpoints import convert

    out = args.out or args.output
    card = convert(args.source, out, args.to, args.family, args.adapter, args.overwrite)
    print(card.what)
    for note in card.notes:
        print(f"  {note}")
    print(f"licence: {card.licence}")
    print(f"written: {out}")
