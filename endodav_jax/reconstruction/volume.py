"""A fused surface as a truncated signed distance in sparse blocks of voxels, with bounded memory.

Curless & Levoy 1996, with blocks only near surfaces as in Nießner et al. 2013.  The distance of a voxel is measured
to the plane of the pixel it projects to (depth times the cosine to the normal), not along the ray, so that surfaces
seen at a slant do not thicken.
"""

import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.geometry.sampling import sample_bilinear

BLOCK = 8  # voxels per side
TRUNCATION = 4.0  # voxels
CHUNK = 256  # blocks per call of the program
MOST_WEIGHT = 200.0  # maximum number of observations; beyond it, old ones decay as new ones arrive
BYTES_A_BLOCK = BLOCK**3 * (4 + 4 + 3 * 2) + 40
FOOTPRINT = 1.3  # size of the default voxel in pixels at the median depth
LEAST_COSINE = 0.2  # lower bound of the cosine between ray and normal for the distance to the plane

_BITS = 20  # of a block's index along an axis
_OFFSET = 1 << (_BITS - 1)


class FusedVolume:
    """Depth maps fused into a signed distance.

    When the blocks exceed `most_bytes`, voxels are merged 2x2x2, repeatedly if needed, and fusion continues
    with twice the size; `voxel` is the current size.

    Attributes:
      voxel: side of a voxel, in the unit of depth.
      coarsened: how often voxels were merged.
    """

    def __init__(self, voxel: float, most_bytes: int = 1_000_000_000):
        """Takes the voxel size and the memory limit for blocks."""
        self.voxel, self.coarsened = float(voxel), 0
        self._most_blocks = max(CHUNK, most_bytes // (2 * BYTES_A_BLOCK))  # growing briefly needs old and new
        self._places: dict[int, int] = {}
        self._distance, self._weight = (np.zeros((0, BLOCK**3), np.float32) for _ in range(2))
        self._colour = np.zeros((0, BLOCK**3, 3), np.float16)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self._places)

    @property
    def bytes(self) -> int:
        """Memory of the blocks, including reserved space."""
        return self._distance.nbytes + self._weight.nbytes + self._colour.nbytes

    def integrate(
        self,
        depth: np.ndarray,
        rgb: np.ndarray,
        weight: np.ndarray,
        cosine: np.ndarray,
        intrinsics: np.ndarray,
        cam_from_world: np.ndarray,
    ) -> None:
        """Adds a frame.

        Args:
          depth: float32 [H,W]; ignored where the weight is 0.
          rgb: uint8 [H,W,3].
          weight: float32 [H,W], non-negative; 0 excludes a pixel.
          cosine: float32 [H,W] between ray and normal.
          intrinsics: [4].
          cam_from_world: [4,4].
        """
        used = (weight > 0) & (depth > 0)
        if not used.any():
            return
        while (touched := self._touched(depth, used, intrinsics, cam_from_world)) is None or (
            rows := self._rows(touched)
        ) is None:
            self._coarsen()
        maps = np.concatenate(
            [np.stack([np.where(used, depth, 0), np.where(used, weight, 0), cosine], -1), rgb], -1
        ).astype(np.float32)
        origins = _unpacked(touched) * np.float32(BLOCK * self.voxel)
        camera = np.asarray(intrinsics, np.float32)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            filled = np.resize(part, CHUNK)
            blocks = (self._distance[filled], self._weight[filled], self._colour[filled].astype(np.float32))
            corners = np.resize(origins[start : start + CHUNK], (CHUNK, 3))
            distance, total, colour = _integrate(
                *blocks, corners, maps, camera, np.asarray(cam_from_world, np.float32), np.float32(self.voxel)
            )
            self._distance[part] = np.asarray(distance)[: len(part)]
            self._weight[part] = np.asarray(total)[: len(part)]
            self._colour[part] = np.asarray(colour)[: len(part)]

    def dense(self, first: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns distance (in truncations), weight and colour of a cube of blocks and one voxel beyond it.

        Args:
          first: int [3], the number of its first block along each axis.
          blocks: along each axis.

        Returns:
          float32 [n,n,n], float32 [n,n,n] (0 where unobserved), float32 [n,n,n,3], n = 8 * blocks + 1.
        """
        side = BLOCK * blocks
        distance, weight = np.ones((side + BLOCK,) * 3, np.float32), np.zeros((side + BLOCK,) * 3, np.float32)
        colour = np.zeros((*distance.shape, 3), np.float32)
        for offset in np.ndindex(*(blocks + 1,) * 3):
            row = self._places.get(int(_packed(first + np.array(offset))))
            if row is None:
                continue
            place = tuple(slice(BLOCK * o, BLOCK * (o + 1)) for o in offset)
            distance[place] = self._distance[row].reshape((BLOCK,) * 3)
            weight[place] = self._weight[row].reshape((BLOCK,) * 3)
            colour[place] = self._colour[row].reshape((*(BLOCK,) * 3, 3))
        cut = (slice(0, side + 1),) * 3
        return distance[cut], weight[cut], colour[cut]

    def block_numbers(self) -> np.ndarray:
        """Returns the numbers of all blocks along x, y and z, int64 [B,3]."""
        return _unpacked(np.fromiter(self._places, np.int64, len(self._places))).astype(np.int64)

    def _touched(self, depth, used, intrinsics, cam_from_world) -> np.ndarray | None:
        """Packed numbers of the blocks within the truncation of any pixel's surface; None if they cannot be packed."""
        v, u = np.nonzero(used)
        z = depth[v, u].astype(np.float64)
        fx, fy, cx, cy = intrinsics
        rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(len(u))], -1)
        # The band is sampled in steps shorter than a block.
        reach = TRUNCATION * self.voxel
        offsets = np.linspace(-reach, reach, 2 + int(2 * reach / (0.6 * BLOCK * self.voxel)))
        length = np.linalg.norm(rays, axis=-1)
        points = rays[:, None] * (z[:, None] + offsets / length[:, None])[..., None]
        rotation, translation = cam_from_world[:3, :3], cam_from_world[:3, 3]
        world = (points.reshape(-1, 3) - translation) @ rotation
        numbers = np.floor(world / (BLOCK * self.voxel))
        return np.unique(_packed(numbers.astype(np.int64))) if (np.abs(numbers) < _OFFSET).all() else None

    def _rows(self, packed: np.ndarray) -> np.ndarray | None:
        """Rows of blocks, creating new ones; None if they would exceed the memory limit."""
        new = [number for number in packed.tolist() if number not in self._places]
        if len(self._places) + len(new) > self._most_blocks:
            return None
        for number in new:
            self._places[number] = len(self._places)
        room = len(self._distance)
        if len(self._places) > room:
            more = min(max(len(self._places), int(1.5 * room), CHUNK), max(self._most_blocks, len(self._places))) - room
            self._distance = np.concatenate([self._distance, np.ones((more, BLOCK**3), np.float32)])
            self._weight = np.concatenate([self._weight, np.zeros((more, BLOCK**3), np.float32)])
            self._colour = np.concatenate([self._colour, np.zeros((more, BLOCK**3, 3), np.float16)])
        return np.array([self._places[number] for number in packed.tolist()])

    def _coarsen(self) -> None:
        """Merges voxels 2x2x2; distances are in truncations, which double."""
        numbers = self.block_numbers()
        old_distance, old_weight, old_colour = self._distance, self._weight, self._colour
        self.voxel, self.coarsened = 2 * self.voxel, self.coarsened + 1
        packed, rows = np.unique(_packed(numbers >> 1), return_inverse=True)
        self._places = {int(number): row for row, number in enumerate(packed)}
        count, half = len(packed), BLOCK // 2
        self._distance = np.ones((count, BLOCK, BLOCK, BLOCK), np.float32)
        self._weight = np.zeros((count, BLOCK, BLOCK, BLOCK), np.float32)
        self._colour = np.zeros((count, BLOCK, BLOCK, BLOCK, 3), np.float16)
        for octant in np.ndindex(2, 2, 2):
            chosen = np.nonzero((numbers & 1 == octant).all(1))[0]
            x, y, z = (slice(half * o, half * (o + 1)) for o in octant)
            place = rows[chosen], x, y, z
            weight = _eighths(old_weight[chosen].reshape(-1, BLOCK, BLOCK, BLOCK))
            total = weight.sum(0)
            share = weight / np.maximum(total, 1e-9)
            distance = _eighths(old_distance[chosen].reshape(-1, BLOCK, BLOCK, BLOCK))
            colour = _eighths(old_colour[chosen].reshape(-1, BLOCK, BLOCK, BLOCK, 3).astype(np.float32))
            mean = (share * distance).sum(0)
            # A distance clipped at the old truncation means "at least this far", so far stays far.
            mean = np.where(np.abs(mean) > 0.95, np.sign(mean), 0.5 * mean)
            self._distance[place] = np.where(total > 0, mean, 1)
            self._weight[place] = total / 8
            self._colour[place] = (share[..., None] * colour).sum(0)
        self._distance = self._distance.reshape(count, BLOCK**3)
        self._weight = self._weight.reshape(count, BLOCK**3)
        self._colour = self._colour.reshape(count, BLOCK**3, 3)


def default_voxel(depth: np.ndarray, intrinsics: np.ndarray) -> float:
    """Returns `FOOTPRINT` pixels at the median depth of a frame (0 if unknown)."""
    known = depth[depth > 0]
    return float(FOOTPRINT * np.median(known) / np.mean(intrinsics[:2]))


@jax.jit
def _integrate(distance, weight, colour, corners, maps, intrinsics, cam_from_world, voxel):
    """Averages a frame into blocks [C,512]: the signed distance in truncations, its weight, and colour."""
    steps = jnp.arange(BLOCK, dtype=jnp.float32) * voxel
    grid = jnp.stack(jnp.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    world = corners[:, None] + grid[None]
    r, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
    x, y, z = (r[i, 0] * world[..., 0] + r[i, 1] * world[..., 1] + r[i, 2] * world[..., 2] + t[i] for i in range(3))
    ahead = z > 1e-6
    inverse = 1 / jnp.where(ahead, z, 1.0)
    ray_x, ray_y = x * inverse, y * inverse
    fx, fy, cx, cy = intrinsics
    u, v = fx * ray_x + cx, fy * ray_y + cy
    height, width = maps.shape[:2]
    inside = ahead & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    where = jnp.stack([jnp.where(inside, u, 0.0), jnp.where(inside, v, 0.0)], -1)
    near = jnp.round(where).astype(jnp.int32)
    nearest = maps[near[..., 1], near[..., 0]]
    # Within a surface, inverse depth is interpolated linearly; across an edge, the nearest pixel is used.
    sampled = sample_bilinear(_inverse(maps)[None], where.reshape(1, 1, -1, 2), "border")[0, 0].reshape(*u.shape, 2)
    known = sampled[..., 1] > 0.999
    smooth = 1 / jnp.where(known, sampled[..., 0], 1.0)
    slant = jnp.sqrt(1 + ray_x**2 + ray_y**2) * jnp.maximum(nearest[..., 2], LEAST_COSINE)
    truncation = TRUNCATION * voxel
    same = known & (jnp.abs(smooth - nearest[..., 0]) * slant < truncation / 2)
    signed = (jnp.where(same, smooth, nearest[..., 0]) - z) * slant / truncation
    # The weight falls off behind the surface, so that the two sides of a thin fold do not cancel each other.
    behind = jnp.clip(1 + signed, 0.0, 1.0)
    new = jnp.where(inside & (signed > -1), nearest[..., 1] * jnp.where(signed < 0, behind, 1.0), 0.0)
    signed = jnp.minimum(signed, 1.0)
    total = weight + new
    share = jnp.where(total > 0, new / jnp.maximum(total, 1e-9), 0.0)
    near_surface = jnp.where(jnp.abs(signed) < 0.6, share, 0.0)[..., None]
    seen_colour = jnp.where(colour.sum(-1, keepdims=True) > 0, near_surface, jnp.where(near_surface > 0, 1.0, 0.0))
    return (
        distance + share * (signed - distance),
        jnp.minimum(total, MOST_WEIGHT),
        colour + seen_colour * (nearest[..., 3:6] - colour),
    )


def _inverse(maps):
    """Inverse depth, and 1 where it is known."""
    known = (maps[..., 0] > 0) & (maps[..., 1] > 0)
    return jnp.stack([jnp.where(known, 1 / jnp.where(known, maps[..., 0], 1.0), 0.0), known.astype(jnp.float32)], -1)


def _eighths(values: np.ndarray) -> np.ndarray:
    """[B,8,8,8,...] -> [8,B,4,4,4,...], with the eight voxels that are merged first."""
    return np.stack([values[:, i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def _packed(numbers: np.ndarray) -> np.ndarray:
    """One int64 for three block numbers [...,3]."""
    shifted = numbers.astype(np.int64) + _OFFSET
    return (shifted[..., 0] << (2 * _BITS)) | (shifted[..., 1] << _BITS) | shifted[..., 2]


def _unpacked(packed: np.ndarray) -> np.ndarray:
    """Float32 [...,3] of `_packed`."""
    mask = (1 << _BITS) - 1
    parts = [(packed >> (2 * _BITS)) & mask, (packed >> _BITS) & mask, packed & mask]
    return (np.stack(parts, -1) - _OFFSET).astype(np.float32)
