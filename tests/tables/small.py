"""All rows of both tables at the least size that has every part; as a program, both tables into a folder."""

import sys
from pathlib import Path

from endodav_jax.jobs.reproduce import TABLES, reproduce
from endodav_jax.tables.needs import Given
from endodav_jax.tables.recipes import PhantomSize

# 34 frames are two windows, which alignment ties together.
SMALL = PhantomSize((28, 28), height=64, width=64, sequences=1, frames=34, clip_length=2, steps=2)

if __name__ == "__main__":
    sys.exit(max(reproduce(table, Given(), Path(sys.argv[1]), SMALL) for table in TABLES))
