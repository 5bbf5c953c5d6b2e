"""A small foundation model: depth learned with supervision on the phantom, as Video-Depth-Anything learns it."""
