"""Reads video and images, and writes what a depth network makes of them."""
