"""Depth for endoscopic video in JAX and Flax: EndoDAV, EndoDAC and Video-Depth-Anything."""

__version__ = "0.1.0"
