"""The published lists of sequences and frames, verbatim, and their reader."""

from endodav_jax.data.splits.lists import (
    FrameEntry,
    published_counts,
    published_list,
    read_sequence_list,
)

__all__ = ["FrameEntry", "published_counts", "published_list", "read_sequence_list"]
