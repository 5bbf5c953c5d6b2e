"""Exported parts, put together, are the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.cli import main
from endodav_jax.errors import EXIT_USER_ERROR
from endodav_jax.export.export import merged_float32, ports_of
from endodav_jax.export.parts import parts_of, time_places
from endodav_jax.inference import streaming
from endodav_jax.models import depth_model_with
from endodav_jax.models.platform import target_platform, traced_for
from tests.golden_cases import relative_error
from tests.inference.networks import IMAGE_SHAPE, small_config, small_params

SAME = 1e-5


@pytest.fixture(scope="module")
def network():
    return merged_float32(small_config("endodav"), small_params("endodav"))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).random((32, 3, *IMAGE_SHAPE), np.float32)


@pytest.mark.slow
def test_the_pieces_of_a_video_network_make_what_the_black_box_makes(network, clip):
    parts = parts_of(*network)
    encoded = [parts["encode"].function(clip[i : i + 1]) for i in (0, 1)]
    features = [np.concatenate(leaf) for leaf in zip(*encoded, strict=True)]
    features = [np.concatenate([leaf[:1], np.repeat(leaf[1:], 31, 0)]) for leaf in features]
    still = np.concatenate([clip[:1], np.repeat(clip[1:2], 31, 0)])
    (path_3,) = parts["coarse"].function(*features[:2])
    (disparity,) = parts["fine"].function(path_3[:1], features[2][:1], features[3][:1])
    (whole,) = jax.jit(parts["video"].function)(still[None])
    assert relative_error(disparity[0], whole[0, 0]) < SAME


@pytest.mark.slow
def test_a_frame_network_is_one_part_at_the_size_that_it_is_given():
    config, params = merged_float32(small_config("endodac"), small_params("endodac"))
    (part,) = parts_of(config, params).values()
    frames = np.random.default_rng(1).random(part.inputs["frames"].shape, np.float32)
    expected = depth_model_with(config, params).frame_disparity(np.moveaxis(frames, 1, -1))
    assert (part.name, part.inputs["frames"].shape) == ("frame", (1, 3, 256, 320))
    assert relative_error(part.function(frames)[0], expected) < SAME


@pytest.mark.parametrize("step", [1, 2, 28, 29, 30, 31, 57, 58, 1000])
def test_places_in_time_are_those_of_the_stream(step):
    assert np.array_equal(time_places(jnp.int32(step)), streaming.time_places(step))


def test_the_description_of_a_part_names_every_shape_and_the_batch_where_it_is_dynamic(network):
    parts = parts_of(*network)
    height, width = IMAGE_SHAPE
    assert ports_of(parts["video"], True) == {
        "inputs": {"frames": [1, 32, 3, height, width]},
        "outputs": {"disparity": [1, 32, height, width]},
    }
    assert ports_of(parts["encode"], True)["inputs"] == {"frames": ["batch", 3, height, width]}
    assert ports_of(parts["fine"], False)["outputs"] == {"disparity": [1, height, width]}
    assert ports_of(parts["fine"], True)["outputs"] == {"disparity": ["batch", height, width]}
    # What one part gives is what the next one takes, frame by frame.
    encoded, fine = (ports_of(parts[name], True) for name in ("encode", "fine"))
    assert encoded["outputs"]["skip_1"] == fine["inputs"]["skip_1"]
    stream = ports_of(parts["stream_next"], True)
    assert stream["inputs"]["step"] == []
    assert stream["outputs"]["next_seen_0"] == stream["inputs"]["seen_0"]


def test_a_program_traced_for_another_platform_has_no_loops(network, clip):
    encode = parts_of(*network)["encode"].function
    here = str(jax.make_jaxpr(lambda x: encode(x))(clip[:8]))
    with traced_for("any"):
        assert target_platform() == "any"
        elsewhere = str(jax.make_jaxpr(lambda x: encode(x))(clip[:8]))
    assert target_platform() == jax.default_backend()
    assert "scan" in here
    assert "scan" not in elsewhere
    assert "while" not in elsewhere


@pytest.mark.parametrize("what", ["stablehlo", "onnx"])
def test_overwriting_replaces_an_export_and_no_other_folder(tmp_path, monkeypatch, capsys, what):
    if what == "onnx":
        pytest.importorskip("jax2onnx", reason="the extra [onnx] is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.txt").write_text("kept")
    for out in ("results", "."):
        assert main(["export", "shipped", out, "--what", what, "--overwrite"]) == EXIT_USER_ERROR
        assert "already exists and is not an exported network; choose another name" in capsys.readouterr().err
    assert (tmp_path / "results/a.txt").read_text() == "kept"
