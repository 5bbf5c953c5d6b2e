"""Metric scale for depth known up to scale: one robust factor for a clip, with its uncertainty."""
