"""From depth to a scene: the camera's path, one fused surface, millimetres, and how far to trust a depth."""
