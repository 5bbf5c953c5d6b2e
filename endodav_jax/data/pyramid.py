"""The four scales of training frames, made on the device."""

from jaxtyping import Array, Float

from endodav_jax.geometry.resize import SCALES, resize_antialias


def pyramid(frames: Float[Array, "*N H W C"], scales: int = SCALES) -> tuple[Float[Array, "*N _ _ C"], ...]:
    """Returns frames at full size, a half, a quarter, ...: each is the one before, resized with antialias.

    Sizes are floor(H / 2^s) x floor(W / 2^s).  Golden: `preprocessing.npz`, `train_scale_*`.
    """
    height, width = frames.shape[-3:-1]
    levels = [frames]
    for scale in range(1, scales):
        levels.append(resize_antialias(levels[-1], (height >> scale, width >> scale)))
    return tuple(levels)
