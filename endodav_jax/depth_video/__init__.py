"""From frames to files: depth from a video or a live source, written as videos, lossless depth and a description."""
