"""Readers for every data set in the forms found on users' disks."""

from endodav_jax.data.sources.base import BadFrame, FrameStream, SequenceInfo, Source, SourceFrame

__all__ = ["BadFrame", "FrameStream", "SequenceInfo", "Source", "SourceFrame"]
