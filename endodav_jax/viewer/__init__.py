"""A page in the browser to look at depth: frames, point clouds, the camera's path, the surface, distances."""
