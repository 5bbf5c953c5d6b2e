"""All rows of both tables at the least size that has every part; as a program, both tables into a folder."""

import sys
from pathlib import Path

from endodav_jax.data.config import PhantomData
from endodav_jax.tables.given import Given
from endodav_jax.tables.recipes import SmallRun
from endodav_jax.tables.reproduce import reproduce
from endodav_jax.tables.rows import TABLES

# 34 frames are two windows, which alignment ties together.
SMALL = SmallRun((28, 28), PhantomData("organ", sequences=1, frames=34, height=64, width=64), clip_length=2, steps=2)

if __name__ == "__main__":
    sys.exit(max(reproduce(table, Given(), Path(sys.argv[1]), SMALL) for table in TABLES))
