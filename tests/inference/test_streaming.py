"""Streaming: the published program's numbers, and its bookkeeping.

`streaming_vda_vits.npz` was computed by Video-Depth-Anything's `infer_video_depth_one` (vits, the golden weights of
seed 0 in float64, `output_conv2` in float32 as the program insists): every frame of `moving_frames(46, 28, 42)` pushed
with `input_size=28, device="cpu", fp32=True`, and the disparities of the frames `steps` kept.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.conversion.names import params_from_torch
from endodav_jax.errors import UserError
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.streaming import EARLIER, StreamState, advance, advanced, time_places
from endodav_jax.models import DepthModelConfig
from tests.compilations import compilations
from tests.golden_cases import GoldenCases, relative_error
from tests.inference.moving import moving_frames
from tests.inference.networks import small_config, small_params

FRAME_SHAPE = (40, 50)


@pytest.mark.golden
@pytest.mark.slow
def test_streamed_disparity_is_the_published_one():
    with np.load(Path(__file__).parent / "streaming_vda_vits.npz") as file:
        steps, count, expected = file["steps"], int(file["frame_count"]), file["disparity"]
    cases = GoldenCases(Path(__file__).parents[1] / "golden", seed=0)
    config = DepthModelConfig.vda("vits", image_shape=expected.shape[1:])
    params = params_from_torch(cases.state_dict("vda_vits"), config, "vda_vits")
    stream = DepthEstimator(config, params).stream()
    value = np.stack([stream.push(frame) for frame in moving_frames(count, *expected.shape[1:])])
    assert steps.max() > 41  # the distant frame is no longer the first
    assert relative_error(value[steps], expected) < 1e-4


def frames_in_view(step: int) -> list[int]:
    """The frames that the published program's lists hold for frame `step`, by its own bookkeeping."""
    held = [0] * 32
    for earlier in range(1, step):
        held.append(earlier)
        if earlier + 32 > 42:
            del held[1]
    return held[:2] + held[-29:]


def test_the_state_holds_the_published_frames_in_the_published_places():
    # Numbers of frames in place of keys and values.
    host = StreamState((np.zeros((31, 1), np.int32),), (np.zeros((12, 1), np.int32),))
    device = jax.tree.map(jnp.asarray, host)
    for step in range(1, 130):
        in_time = np.empty(31, int)
        in_time[time_places(step)] = host.seen[0][:, 0]
        assert in_time.tolist() == frames_in_view(step), step
        entry = np.full((1,), step, np.int32)
        advance(host, (entry,), step)
        device = advanced(device, (entry,), np.int32(step))
        for kept, kept_on_device in zip(jax.tree.leaves(host), jax.tree.leaves(device), strict=True):
            np.testing.assert_array_equal(kept, kept_on_device)


def test_places_are_a_permutation():
    for step in range(1, 100):
        places = time_places(step)
        assert places.dtype == np.int32
        assert sorted(places) == list(range(EARLIER))


@pytest.fixture(scope="module")
def estimator():
    return DepthEstimator(small_config("endodav"), small_params("endodav"))


@pytest.mark.slow
def test_the_first_frame_of_a_stream_stands_alone_and_later_ones_see_it(estimator):
    frames = moving_frames(3, *FRAME_SHAPE)
    stream = estimator.stream()
    disparities = [stream.push(frame) for frame in frames]
    again = estimator.stream()
    np.testing.assert_array_equal(again.push(frames[0]), disparities[0])
    alone = estimator.stream().push(frames[2])
    assert np.abs(alone - disparities[2]).max() > 1e-3
    assert disparities[2].shape == FRAME_SHAPE
    assert disparities[2].dtype == np.float32


def test_two_programs_serve_a_whole_stream(estimator):
    stream = estimator.stream()
    frames = moving_frames(50, *FRAME_SHAPE)
    for frame in frames[:2]:
        stream.push(frame)
    with compilations() as compiled:
        for frame in frames[2:]:
            stream.push(frame)
    assert compiled == []


def test_what_is_hidden_is_zero_and_does_not_count(estimator):
    view_mask = np.ones(FRAME_SHAPE, bool)
    view_mask[:, :20] = False
    frames = moving_frames(2, *FRAME_SHAPE)
    stream, spoilt = estimator.stream(view_mask), estimator.stream(view_mask)
    for frame in frames:
        value = stream.push(frame)
        assert (value[:, :20] == 0).all()
        np.testing.assert_array_equal(spoilt.push(np.where(view_mask[..., None], frame, 255 - frame)), value)


@pytest.mark.slow
def test_endodac_streams_as_it_infers():
    estimator = DepthEstimator(small_config("endodac"), small_params("endodac"))
    frames = moving_frames(2, *FRAME_SHAPE)
    stream = estimator.stream()
    value = np.stack([stream.push(frame) for frame in frames])
    np.testing.assert_allclose(value, estimator.infer(frames), atol=1e-5)


def test_a_change_of_size_is_refused(estimator):
    stream = estimator.stream()
    stream.push(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UserError, match="frame 1: 20x10, but the video began with 50x40"):
        stream.push(np.zeros((10, 20, 3), np.uint8))
