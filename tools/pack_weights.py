"""Writes a pretrained checkpoint as the file of half floats that comes with the package.

python tools/pack_weights.py out/pretrain/model endodav_jax/checkpoints/phantom_vitt.safetensors
"""

import argparse
from pathlib import Path

from endodav_jax.checkpoints.shipped import pack

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--note", action="append", default=[], help="a sentence for the card")
    parser.add_argument("--network", action="append", default=[], help="a network to write; all without it")
    args = parser.parse_args()
    pack(args.checkpoint, args.file, tuple(args.note), args.network)
    print(f"written: {args.file} ({args.file.stat().st_size / 1e6:.1f} MB)")
