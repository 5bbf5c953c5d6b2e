"""Runtimes besides JAX: choosing one, networks from exported files, and int8 with measured loss of accuracy."""
