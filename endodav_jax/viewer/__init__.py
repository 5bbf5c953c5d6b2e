"""A browser page that shows depth: frames, point clouds, the camera path, the surface, distances."""
