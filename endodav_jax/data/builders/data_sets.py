"""The TFDS builder for a kind of data set.  Builders differ only in their source and name."""

import functools

from endodav_jax.data.builders.video import VideoBuilder
from endodav_jax.data.kinds import KINDS


@functools.cache
def builder_class(kind: str) -> type[VideoBuilder]:
    """Returns the builder of a key of `KINDS`: TFDS knows a data set by the class of its builder."""
    entry = KINDS[kind]
    members = {"__module__": __name__, "name": entry.data_set, "DESCRIPTION": entry.description}
    return type(entry.data_set, (VideoBuilder,), members)
