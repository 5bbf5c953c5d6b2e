"""Converts PyTorch weights from a checkout: `python tools/convert_weights.py SOURCE OUT`, as `endodav convert` does."""

import sys

from endodav_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
