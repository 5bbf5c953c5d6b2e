"""From depth to a scene: camera path, fused surface, metric scale, and confidence of depth."""
