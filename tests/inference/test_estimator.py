"""Videos of any length: the same numbers as window by window without any economy, and bounded memory."""

import functools
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

import endodav_jax
from endodav_jax.checkpoints import Card, save_model
from endodav_jax.errors import UserError
from endodav_jax.inference import programs
from endodav_jax.inference.alignment import WindowAligner
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.preprocess import network_input, to_frame_size
from endodav_jax.inference.windowed import Batching
from endodav_jax.models import depth_model_with
from tests.compilations import compilations
from tests.inference.moving import moving_frames
from tests.inference.networks import small_config, small_params
from tests.inference.test_windows import windows_of

FRAME_SHAPE = (40, 50)


@pytest.fixture(scope="module")
def estimator():
    return DepthEstimator(small_config("endodav"), small_params("endodav"))


@functools.partial(jax.jit, static_argnums=0)
def whole_window(config, params, frames):
    """Disparity of a window by the whole network, as published."""
    disparity = depth_model_with(config, params).disparity(network_input(frames, config.image_shape)[None])[0]
    return to_frame_size(disparity, FRAME_SHAPE)


def plainly(estimator: DepthEstimator, frames: np.ndarray, rule: str) -> np.ndarray:
    """Every window of a video run by itself and then aligned."""
    aligner, finished = WindowAligner(rule), []
    for window in windows_of(rule, len(frames)):
        if window.used_slots:
            raw = np.asarray(whole_window(estimator.config, estimator.network.params, frames[list(window.frames)]))
            finished += aligner.push(window, raw)[1]
    return np.stack([disparity for _, disparity in finished])


def assert_same(value: np.ndarray, expected: np.ndarray) -> None:
    assert value.shape == expected.shape
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("rule", "length"), [("endodav", 1), ("endodav", 5), ("endodav", 60), ("vda", 50), ("none", 33)]
)
def test_encoding_shared_frames_once_changes_no_result(estimator, rule, length):
    frames = moving_frames(length, *FRAME_SHAPE)
    expected = plainly(estimator, frames, rule)
    assert expected.std() > 0.01
    assert_same(estimator.infer(frames, rule), expected)


@pytest.mark.parametrize("length", [20, 44, 45, 100])
def test_how_much_is_done_at_once_changes_no_result(estimator, length):
    frames = moving_frames(length, *FRAME_SHAPE)
    batched = DepthEstimator(
        small_config("endodav"), small_params("endodav"), batching=Batching(encoded=5, decoded=32, windows=3)
    )
    for rule in ("endodav", "vda"):
        assert_same(batched.infer(frames, rule), estimator.infer(frames, rule))


@pytest.mark.parametrize(("length", "encoded"), [(1, 1), (7, 4), (32, 16), (54, 27), (76, 38)])
def test_every_frame_is_encoded_once(estimator, monkeypatch, length, encoded):
    calls = []
    encode_into = programs.encode_into

    def counted(*args, **kwargs):
        calls.append(args[2].shape[0])
        return encode_into(*args, **kwargs)

    monkeypatch.setattr(programs, "encode_into", counted)
    estimator.infer(moving_frames(length, *FRAME_SHAPE))
    assert calls == [2] * encoded


def test_a_second_video_compiles_nothing(estimator):
    estimator.infer(moving_frames(60, *FRAME_SHAPE))
    estimator.infer(moving_frames(60, *FRAME_SHAPE), "vda")
    with compilations() as compiled:
        estimator.infer(moving_frames(39, *FRAME_SHAPE), "vda")
    assert compiled == []


def test_only_small_programs_depend_on_the_size_of_the_video(estimator):
    estimator.infer(moving_frames(2, *FRAME_SHAPE))
    with compilations() as compiled:
        estimator.infer(moving_frames(2, 33, 47))
    assert len(compiled) == 2  # to the network's size, and back to the frame's


def test_frames_come_in_order_while_the_video_is_still_read(estimator):
    read = itertools.count()
    latest = 0

    def endless():
        nonlocal latest
        for frame in itertools.cycle(moving_frames(16, *FRAME_SHAPE)):
            latest = next(read)
            yield frame

    logs = []
    disparities = estimator.iter_infer(endless(), on_window=logs.append)
    for expected in range(70):
        number, disparity = next(disparities)
        assert number == expected
        assert disparity.shape == FRAME_SHAPE
        assert (disparity >= 0).all()
        assert latest - number < 80
    assert [log.window for log in logs] == [0, 1, 2, 3]
    assert logs[0].last_frame + 1 == logs[1].first_frame
    disparities.close()
    stopped_at = latest
    assert next(read) == stopped_at + 1  # closing stops the reader


def test_outside_the_view_nothing_counts(estimator):
    frames = moving_frames(40, *FRAME_SHAPE)
    view_mask = np.hypot(*np.ogrid[-19.5:20, -24.5:25]) < 20
    spoilt = np.where(view_mask[..., None], frames, np.random.default_rng(2).integers(0, 256, frames.shape, np.uint8))
    value = estimator.infer(spoilt, view_mask=view_mask)
    np.testing.assert_array_equal(value, estimator.infer(frames, view_mask=view_mask))
    assert (value[:, ~view_mask] == 0).all()
    assert (value[:, view_mask] > 0).any()


@pytest.mark.parametrize("kind", ["0 and 255", "0 and 1", "float", "list"])
def test_masks_of_numbers_hide_where_they_are_zero(estimator, kind):
    frames = moving_frames(3, *FRAME_SHAPE)
    view_mask = np.hypot(*np.ogrid[-19.5:20, -24.5:25]) < 20
    expected = estimator.infer(frames, view_mask=view_mask)
    given = {
        "0 and 255": view_mask.astype(np.uint8) * np.uint8(255),
        "0 and 1": view_mask.astype(np.uint8),
        "float": view_mask * 0.5,
        "list": view_mask.tolist(),
    }[kind]
    np.testing.assert_array_equal(estimator.infer(frames, view_mask=given), expected)
    np.testing.assert_array_equal(
        estimator.infer_depth(frames, view_mask=given), estimator.infer_depth(frames, view_mask=view_mask)
    )
    live, live_of_numbers = estimator.stream(view_mask), estimator.stream(given)
    np.testing.assert_array_equal(live_of_numbers.push(frames[0]), live.push(frames[0]))


@pytest.mark.parametrize(
    "given",
    [np.ones((*FRAME_SHAPE, 3), np.uint8), np.full(FRAME_SHAPE, "x"), [[1, 0], [1]], np.full(FRAME_SHAPE, np.nan)],
)
def test_what_is_no_mask_is_refused(estimator, given):
    for call in (
        lambda: estimator.infer(moving_frames(1, *FRAME_SHAPE), view_mask=given),
        lambda: estimator.infer_depth(moving_frames(1, *FRAME_SHAPE), view_mask=given),
        lambda: estimator.stream(given),
    ):
        with pytest.raises(UserError, match=r"^view_mask: .*0 where a pixel is hidden$"):
            call()


def test_bfloat16_is_near_float32(estimator):
    frames = moving_frames(5, *FRAME_SHAPE)
    half = DepthEstimator(small_config("endodav"), small_params("endodav"), precision="bfloat16").infer(frames)
    full = estimator.infer(frames)
    assert half.dtype == np.float32
    error = np.sqrt(np.mean((half - full) ** 2) / np.mean(full**2))
    assert 1e-6 < error < 0.01


def test_endodac_goes_frame_by_frame():
    config, params = small_config("endodac"), small_params("endodac")
    estimator = DepthEstimator(config, params)
    frames = moving_frames(5, 256, 320)  # the size EndoDAC reads, so no Lanczos comes between
    network = jax.jit(lambda params, frames: depth_model_with(config, params).disparity(frames)[0])
    expected = network(params, frames[None].astype(np.float32) / 255)
    assert_same(estimator.infer(frames), np.asarray(to_frame_size(expected, (256, 320))))
    assert_same(estimator.infer(frames[3:4])[0], estimator.infer(frames)[3])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "none"),
        (np.zeros((3, 40, 50, 3), np.float32), "frame 0: float32"),
        (np.zeros((3, 0, 50, 3), np.uint8), r"frame 0: uint8 of shape \(0, 50, 3\)"),
        (np.zeros((3, 40, 50), np.uint8), r"frame 0: uint8 of shape \(40, 50\)"),
        ([np.zeros((40, 50, 3), np.uint8), np.zeros((50, 40, 3), np.uint8)], "frame 1: 40x50"),
    ],
)
def test_bad_frames_are_one_clear_line(estimator, frames, message):
    with pytest.raises(UserError, match=message) as error:
        estimator.infer(frames)
    assert "\n" not in str(error.value)


def test_an_unknown_rule_and_a_mask_of_another_size_are_refused(estimator):
    frames = moving_frames(2, *FRAME_SHAPE)
    with pytest.raises(UserError, match="align: 'vdb'"):
        estimator.infer(frames, "vdb")
    with pytest.raises(UserError, match="view_mask: 3x2"):
        estimator.infer(frames, view_mask=np.ones((2, 3), bool))


@pytest.mark.parametrize("family", ["endodav", "endodac"])
def test_a_source_may_write_every_frame_into_the_same_array(family):
    estimator = DepthEstimator(small_config(family), small_params(family))
    frames = moving_frames(12, *FRAME_SHAPE)

    def reusing():
        buffer = np.empty_like(frames[0])
        for frame in frames:
            buffer[:] = frame
            yield buffer

    np.testing.assert_array_equal(estimator.infer(reusing()), estimator.infer(frames))


@pytest.mark.parametrize("given", ["clip.mp4", Path("clip.mp4"), None, 5, np.uint8(5), np.array(5)])
def test_what_holds_no_frames_is_refused_in_one_line(estimator, given):
    with pytest.raises(UserError, match=r"^frames: .* is no sequence of frames") as caught:
        estimator.infer(given)
    assert "\n" not in str(caught.value)


def test_a_frame_of_uneven_rows_is_refused_in_one_line(estimator):
    with pytest.raises(UserError, match=r"^frame 0: is no array"):
        estimator.infer([[[1, 2, 3], [1, 2]]])


def test_an_error_of_the_source_comes_through(estimator):
    def broken():
        yield from moving_frames(3, *FRAME_SHAPE)
        raise UserError("video.mp4: frame 3 is damaged")

    with pytest.raises(UserError, match="frame 3 is damaged"):
        estimator.infer(broken())


def test_a_checkpoint_folder_is_loaded_in_one_line(estimator, tmp_path):
    folder = tmp_path / "network"
    save_model(folder, small_config("endodav"), {"depth": small_params("endodav")}, Card("a test's network", "none"))
    loaded = endodav_jax.load(folder)
    assert loaded.config == estimator.config
    frames = moving_frames(2, *FRAME_SHAPE)
    np.testing.assert_array_equal(loaded.infer(frames), estimator.infer(frames))
    assert endodav_jax.load(folder, precision="bfloat16").config.precision == "bfloat16"


def test_the_class_is_found_at_the_top_of_the_package():
    assert endodav_jax.DepthEstimator is DepthEstimator
    with pytest.raises(AttributeError, match="Estimator"):
        endodav_jax.Estimator  # noqa: B018
