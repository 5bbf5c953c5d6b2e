"""The networks, as Flax NNX modules, channels last."""
