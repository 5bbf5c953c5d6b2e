"""Pictures of a mesh from any side, without a graphics card: its points, drawn from far to near."""

import numpy as np

from endodav_jax.reconstruction.surface import Mesh

BACKGROUND = 255
BRIGHT = 220  # of 255: the brightest colours of dark surfaces are raised to this, by a factor of 2 at most
SIDES = {  # name -> directions of right and down in the world
    "from behind the camera": ((1, 0, 0), (0, 1, 0)),
    "from above": ((1, 0, 0), (0, 0, -1)),
    "from the side": ((0, 0, 1), (0, 1, 0)),
}
_FILL = 4  # maximum dilation of a point in pixels, to close gaps to its neighbours


def seen_from(mesh: Mesh, side: str, path: np.ndarray, size: int = 256) -> np.ndarray:
    """Returns a parallel projection, uint8 [size,size,3], shaded by the normals, with the camera path drawn over it.

    Args:
      mesh: at least one vertex.
      side: of `SIDES`.
      path: [N,3] camera positions in the mesh's unit.
      size: of the picture in pixels.
    """
    axes = np.array(SIDES[side], np.float64)
    axes = np.vstack([axes, np.cross(axes[0], axes[1])])  # the third points away from the viewer
    flat = mesh.vertices @ axes.T
    low, high = np.quantile(flat[:, :2], [0.005, 0.995], axis=0)
    low, high = np.minimum(low, (path @ axes.T)[:, :2].min(0)), np.maximum(high, (path @ axes.T)[:, :2].max(0))
    scale = 0.94 * size / max(*(high - low), 1e-9)
    offset = size / 2 - scale * (low + high) / 2
    light = np.abs(mesh.normals @ axes[2].astype(np.float32))
    shaded = mesh.colours * (0.35 + 0.65 * light[:, None])
    gain = BRIGHT / max(float(np.quantile(shaded.max(-1), 0.95)), BRIGHT / 2)
    colours = np.minimum(shaded * gain, 255).astype(np.uint8)
    place = np.rint(flat[:, :2] * scale + offset).astype(np.int64)
    # A vertex covers what is between it and its neighbours.
    edges = mesh.vertices[mesh.faces[:, 0]] - mesh.vertices[mesh.faces[:, 1]]
    apart = float(np.median(np.linalg.norm(edges, axis=1))) if len(edges) else size / scale
    wide = int(np.clip(np.ceil(1.2 * apart * scale), 1, _FILL))
    picture = np.full((size, size, 3), BACKGROUND, np.uint8)
    order = np.argsort(-flat[:, 2], kind="stable")
    steps = range(-(wide // 2), wide - wide // 2)
    targets = np.concatenate([place[order] + (dx, dy) for dy in steps for dx in steps])
    depth = np.tile(flat[order, 2], wide * wide)
    far_first = np.argsort(-depth, kind="stable")
    _draw(picture, targets[far_first], np.tile(colours[order], (wide * wide, 1))[far_first])
    track = np.rint((path @ axes.T)[:, :2] * scale + offset).astype(np.int64)
    for number, colour in ((slice(None), (30, 90, 200)), (slice(0, 1), (200, 40, 40))):
        dots = np.concatenate([track[number] + (dx, dy) for dx in (0, 1) for dy in (0, 1)])
        _draw(picture, dots, np.broadcast_to(np.array(colour, np.uint8), (len(dots), 3)))
    return picture


def _draw(picture: np.ndarray, places: np.ndarray, colours: np.ndarray) -> None:
    """Sets pixels (x, y) in order; later ones overwrite earlier ones."""
    inside = ((places >= 0) & (places < picture.shape[0])).all(1)
    x, y = places[inside].T
    picture[y, x] = colours[inside]
