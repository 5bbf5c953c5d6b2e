"""The compiled programs of inference: pure functions of weights and arrays, of fixed size, the same for every video.

A window goes through the network in parts, so that frames shared by two windows are encoded once and frames that
are not needed are not decoded:

    frames --prepare--> images --encode_into--> bank of features --coarse--> path 3 --fine--> disparity --to_frames-->

Only `prepare` and `to_frames` depend on the size of the video; they are small and compile quickly.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from endodav_jax.inference.preprocess import network_input, to_frame_size, unit_frames
from endodav_jax.models import DepthModelConfig, frame_network, window_network
from endodav_jax.models.dpt import FrameFeatures

prepare = jax.jit(network_input, static_argnames="image_shape")
prepare_unresized = jax.jit(unit_frames)


def empty_bank(config: DepthModelConfig, params: dict, rows: int) -> FrameFeatures:
    """Allocates a bank for the features of `rows` frames."""
    one_frame = jax.ShapeDtypeStruct((1, *config.image_shape, 3), jnp.float32)
    features = jax.eval_shape(lambda *args: window_network(config, args[0]).encode(args[1]), params, one_frame)
    return jax.tree.map(lambda leaf: jnp.zeros((rows, *leaf.shape[1:]), leaf.dtype), features)


@functools.partial(jax.jit, static_argnames="config", donate_argnames="bank")
def encode_into(
    params: dict,
    bank: FrameFeatures,
    images: Float32[Array, "N h w 3"],
    row: Int[Array, ""],
    *,
    config: DepthModelConfig,
) -> FrameFeatures:
    """Encodes N frames and writes their features to rows `row` ... `row + N - 1` of the bank."""
    features = window_network(config, params).encode(images)
    return jax.tree.map(lambda rows, new: jax.lax.dynamic_update_slice_in_dim(rows, new, row, 0), bank, features)


@jax.jit
def select(bank: FrameFeatures, rows: Int[Array, "N"]) -> FrameFeatures:
    """Returns the bank whose row i is row `rows[i]` of the given one."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip"), bank)


@functools.partial(jax.jit, donate_argnames="bank")
def carry(bank: FrameFeatures, rows: Int[Array, "N"]) -> FrameFeatures:
    """Returns the bank with its first N rows replaced by rows `rows` of the given one."""

    def carried(leaf):
        return leaf.at[: len(rows)].set(jnp.take(leaf, rows, axis=0, mode="clip"))

    return jax.tree.map(carried, bank)


@functools.partial(jax.jit, static_argnames=("length", "config"))
def coarse(params: dict, features: FrameFeatures, *, length: int, config: DepthModelConfig) -> Float[Array, "N h w F"]:
    """Runs the part of the decoder in which the frames of a window of `length` interact, on consecutive windows."""
    return window_network(config, params).decode_coarse(features, length)


@functools.partial(jax.jit, static_argnames=("count", "config"))
def fine(
    params: dict,
    path_3: Float[Array, "N h w F"],
    features: FrameFeatures,
    first: Int[Array, ""],
    *,
    count: int,
    config: DepthModelConfig,
) -> Float32[Array, "count height width"]:
    """Runs the rest of the decoder for `count` frames, starting at row `first`."""
    path_3, features = jax.tree.map(
        lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, count, 0), (path_3, features)
    )
    return window_network(config, params).decode_tail(path_3, features)


@functools.partial(jax.jit, static_argnames="config")
def single_frames(
    params: dict, images: Float32[Array, "N h w 3"], *, config: DepthModelConfig
) -> Float32[Array, "N height width"]:
    """Returns the disparity of each frame, for a network that processes frames independently."""
    return frame_network(config, params).frame_disparity(images)


@functools.partial(jax.jit, static_argnames=("count", "frame_shape"))
def to_frames(
    disparity: Float32[Array, "N h w"], first: Int[Array, ""], *, count: int, frame_shape: tuple[int, int]
) -> Float32[Array, "count H W"]:
    """Returns `count` disparities, from `first` on, at the size of the video's frames."""
    return to_frame_size(jax.lax.dynamic_slice_in_dim(disparity, first, count, 0), frame_shape)
