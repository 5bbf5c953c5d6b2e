"""A small foundation model: supervised depth on the phantom, following Video-Depth-Anything."""
