"""From frames to files: the depth of a video or a live source, written as videos, lossless depth and a description."""
