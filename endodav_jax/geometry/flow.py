"""Optical flow, (y, x) in pixels: warping by it, and the flow that a rigid motion causes."""

from jaxtyping import Array, Float

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import Padding, pixel_grid, sample_bilinear


def flow_targets(flow: Float[Array, "*N H W 2"]) -> Float[Array, "*N H W 2"]:
    """Returns the pixel (x, y) to which the flow (y, x) moves each pixel."""
    return pixel_grid(*flow.shape[-3:-1], dtype=flow.dtype) + flow[..., ::-1]


def warp_by_flow(
    image: Float[Array, "N H W C"], flow: Float[Array, "N H W 2"], padding: Padding
) -> Float[Array, "N H W C"]:
    """Returns the image sampled where the flow points: output(p) = image(p + flow(p))."""
    return sample_bilinear(image, flow_targets(flow), padding)


def rigid_flow(
    depth: Float[Array, "*N H W"], intrinsics: Float[Array, "*N 4"], cam_b_from_cam_a: Float[Array, "*N 4 4"]
) -> Float[Array, "*N H W 2"]:
    """Returns the flow from camera a to camera b of a static scene of known depth."""
    pixels, _ = reproject(depth, intrinsics, cam_b_from_cam_a)
    return (pixels - pixel_grid(*depth.shape[-2:], dtype=depth.dtype))[..., ::-1]
