"""Readers of every data set as people have it on disk."""

from endodav_jax.data.sources.base import BadFrame, FrameStream, SequenceInfo, Source, SourceFrame

__all__ = ["BadFrame", "FrameStream", "SequenceInfo", "Source", "SourceFrame"]
