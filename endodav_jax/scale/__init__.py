"""Millimetres for depth that is known up to scale: one robust factor for a clip, and how sure it is."""
