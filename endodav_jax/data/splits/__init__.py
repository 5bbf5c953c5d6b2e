"""The published lists of sequences, verbatim, and their reader."""

from endodav_jax.data.splits.lists import (
    published_counts,
    published_list,
    read_sequence_list,
)

__all__ = ["published_counts", "published_list", "read_sequence_list"]
