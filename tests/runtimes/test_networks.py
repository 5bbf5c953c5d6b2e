"""Other runtimes give the same depth and say what they are; int8 says what it costs, or is refused."""

import dataclasses
import gc
import importlib.util
import json
import re
import shutil
import weakref

import jax
import numpy as np
import pytest

import endodav_jax
from endodav_jax.checkpoints import Card, save_model
from endodav_jax.cli import main
from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR, UserError
from endodav_jax.export import openvino_file
from endodav_jax.export.manifest import MANIFEST_NAME, Manifest
from endodav_jax.export.sessions import open_session
from endodav_jax.files import whole_file
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.network import JaxNetwork
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.runtimes import calibration, choose, cost, int8
from endodav_jax.runtimes import exported as runtimes_exported
from endodav_jax.runtimes.choose import choose_runtime
from endodav_jax.runtimes.exported import ExportedNetwork, cached, network_digest
from endodav_jax.runtimes.networks import network_for
from tests.data.tiny_source import prepare_tiny
from tests.evaluation.plane_videos import PlaneSource
from tests.inference.networks import small_config, small_params
from tests.media_fixtures import moving_picture, write_video

pytestmark = [
    # onnxscript and OpenVINO call what their own dependencies have marked as old.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    for package in ("jax2onnx", "openvino"):
        pytest.importorskip(package, reason="the extras [onnx] and [openvino] are not installed")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def exported(cache, monkeypatch):
    """The small network and its weights; exports are kept for this module's tests."""
    monkeypatch.setenv("ENDODAV_JAX_CACHE", str(cache))
    return small_config("endodav"), small_params("endodav")


@pytest.fixture
def little_int8(monkeypatch):
    """int8 of few frames, and of one part, taken however long it takes."""
    monkeypatch.setattr(calibration, "FRAMES", 4)
    monkeypatch.setattr(cost, "FRAMES", 3)
    monkeypatch.setattr(int8, "WORTH", 100.0)
    whole = calibration.calibration_inputs

    def one_part(*arguments):
        return {part: inputs for part, inputs in whole(*arguments).items() if part in ("fine", "stream_step")}

    monkeypatch.setattr(int8, "calibration_inputs", one_part)


def largest_share(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.ptp(expected))


@pytest.mark.slow
def test_inference_by_openvino_and_onnxruntime_is_inference(exported, cache):
    config, params = exported
    frames = np.random.default_rng(2).integers(0, 255, (40, 60, 80, 3), np.uint8)
    expected = DepthEstimator(config, params)
    disparity = expected.infer(frames)
    stream = expected.stream()
    streamed = [stream.push(frame) for frame in frames[:3]]
    for runtime in ("openvino", "onnxruntime"):
        network, said = network_for(config, params, RuntimeConfig(runtime=runtime))
        assert runtime in said
        estimator = DepthEstimator.of(network)
        assert largest_share(estimator.infer(frames), disparity) < 1e-4
        stream = estimator.stream()
        assert all(
            largest_share(stream.push(frame), wanted) < 1e-4 for frame, wanted in zip(frames, streamed, strict=False)
        )
    assert len([folder for folder in cache.iterdir() if folder.name.startswith("onnx")]) == 2  # once a use, for both


@pytest.mark.slow
@pytest.mark.parametrize("output", ["disparity", pytest.param("metric_depth", marks=pytest.mark.long)])
def test_a_loaded_network_of_single_frames_is_the_same_by_every_runtime(exported, tmp_path, output):
    config = dataclasses.replace(small_config("endodac"), output=output)
    save_model(tmp_path / "weights", config, {"depth": small_params("endodac")}, Card("random", "none"))
    frames = np.random.default_rng(2).integers(0, 255, (5, 60, 80, 3), np.uint8)
    expected = endodav_jax.load(tmp_path / "weights")
    for runtime in ("openvino", "onnxruntime"):
        estimator = endodav_jax.load(tmp_path / "weights", runtime=runtime)
        assert estimator.card.notes[-1] == f"runtime {runtime}, as requested"
        for found, wanted in (
            (estimator.infer(frames), expected.infer(frames)),
            (estimator.infer_depth(frames), expected.infer_depth(frames)),
            (estimator.stream().push(frames[0]), expected.stream().push(frames[0])),
        ):
            assert largest_share(found, wanted) < 1e-4
            assert not np.array_equal(found, wanted)  # another program computed it


@pytest.mark.parametrize(
    ("shares", "taken"),
    [
        ({"everything": 0.97, "convolutions": 0.96}, None),
        ({"everything": 0.5, "convolutions": 0.8}, "everything"),
        ({"everything": 1.4, "convolutions": 0.9}, "convolutions"),
    ],
)
def test_a_part_is_int8_as_far_as_that_makes_it_faster(tmp_path, monkeypatch, shares, taken):
    def quantised(plain, out, examples, what):
        out.write_text(what)
        out.with_suffix(".bin").write_text(what)

    monkeypatch.setattr(int8, "quantise", quantised)
    monkeypatch.setattr(int8, "open_session", lambda file, *_: file)
    monkeypatch.setattr(int8, "share_of_time", lambda file, plain, arrays: shares[file.name.split(".")[1]])
    out = tmp_path / "encode.xml"
    assert int8.quantised_where_faster(tmp_path / "encode.onnx", out, [()], "float32") == taken
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == ({"encode.xml": taken, "encode.bin": taken} if taken else {})


@pytest.mark.slow
def test_int8_costs_what_it_says_once_and_is_refused_where_that_is_too_much(exported, little_int8, monkeypatch):
    pytest.importorskip("nncf", reason="the extra [openvino] is not installed")
    config, params = exported
    wanted = RuntimeConfig(runtime="openvino", precision="int8", int8_force=True)
    network, said = network_for(config, params, wanted)
    assert "int8: fine " in said
    assert "video: abs rel " in said
    frames = np.random.default_rng(2).integers(0, 255, (3, 60, 80, 3), np.uint8)
    float32, _ = network_for(config, params, RuntimeConfig(runtime="openvino"))
    found, plain = (DepthEstimator.of(each).infer(frames) for each in (network, float32))
    assert 0 < np.abs(found - plain).mean() < 0.2 * np.ptp(plain)

    def measured_again(*arguments):
        raise AssertionError("it was kept")

    monkeypatch.setattr(int8, "cost_of", measured_again)
    assert network_for(config, params, wanted)[1] == said
    monkeypatch.setattr(int8, "MOST_LOSS", -1.0)
    with pytest.raises(UserError, match=r"abs rel .* above .*--int8-force"):
        network_for(config, params, RuntimeConfig(runtime="auto", precision="int8"))


@pytest.mark.slow
@pytest.mark.parametrize(("has_bfloat16", "compute"), [(True, "bfloat16"), (False, "float32")])
def test_what_int8_leaves_is_computed_in_the_fastest_float(exported, little_int8, monkeypatch, has_bfloat16, compute):
    pytest.importorskip("nncf", reason="the extra [openvino] is not installed")
    opened = {}

    def recorded(path, engine, compute="float32"):
        opened[path.name.split(".")[0]] = compute
        return open_session(path, engine)  # this processor may not have bfloat16

    monkeypatch.setattr(int8, "processor_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr(int8, "open_session", recorded)
    monkeypatch.setattr(runtimes_exported, "open_session", recorded)
    config, params = exported
    network, _ = network_for(config, params, RuntimeConfig(runtime="openvino", precision="int8", int8_force=True))
    opened.clear()
    DepthEstimator.of(network).infer(np.zeros((2, 60, 80, 3), np.uint8))
    assert opened == dict.fromkeys(("encode", "coarse", "fine"), compute)


@pytest.mark.slow
def test_a_live_stream_can_be_int8(exported, little_int8):
    pytest.importorskip("nncf", reason="the extra [openvino] is not installed")
    config, params = exported
    wanted = RuntimeConfig(runtime="openvino", precision="int8", int8_force=True)
    network, said = network_for(config, params, wanted, "stream")
    assert "int8: stream_step " in said
    frames = np.random.default_rng(2).integers(0, 255, (4, 60, 80, 3), np.uint8)
    streams = DepthEstimator.of(network).stream(), DepthEstimator(config, params).stream()
    found, plain = (np.stack([stream.push(frame) for frame in frames]) for stream in streams)
    assert 0 < np.abs(found - plain).mean() < 0.2 * np.ptp(plain)


@pytest.mark.slow
def test_evaluate_measures_what_a_runtime_gives(exported, tmp_path, capsys):
    config, params = exported
    prepare_tiny(tmp_path, PlaneSource({"test/dataset8/keyframe0": 3}), splits=("test",), name="plane")
    weights = tmp_path / "weights"
    save_model(weights, config, {"depth": params}, Card("random", "none"))
    found = {}
    for runtime in ("jax", "openvino"):
        out = tmp_path / runtime
        words = ["evaluate", str(tmp_path), "--weights", str(weights), "-o", str(out), "--runtime", runtime]
        assert main(words) == EXIT_OK
        found[runtime] = json.loads((out / "results.json").read_text())
        assert f"runtime {runtime}" in capsys.readouterr().out
    assert found["openvino"]["runtime"].startswith("runtime openvino")
    errors = [results["overall"]["abs_rel"] for results in found.values()]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["infer", pytest.param("stream", marks=pytest.mark.long)])
def test_a_command_writes_the_same_depth_by_every_runtime(exported, tmp_path, capsys, command):
    config, params = exported
    save_model(tmp_path / "weights", config, {"depth": params}, Card("random", "none"))
    video = write_video(tmp_path / "clip.mp4", map(moving_picture, range(6)))
    depth = {}
    for runtime in ("jax", "onnxruntime", "openvino"):
        out = tmp_path / runtime
        words = [command, str(video), "--weights", str(tmp_path / "weights"), "-o", str(out), "--save", "npy"]
        assert main([*words, "--runtime", runtime]) == EXIT_OK
        said = capsys.readouterr()
        assert runtime == "jax" or f"runtime {runtime}, as requested" in said.out + said.err
        depth[runtime] = np.stack([np.load(file) for file in sorted((out / "clip_depths_npy").iterdir())])
    assert len(depth["jax"]) == 6
    for runtime in ("onnxruntime", "openvino"):
        np.testing.assert_allclose(depth[runtime], depth["jax"], rtol=1e-3)
        assert not np.array_equal(depth[runtime], depth["jax"])  # another program computed it


@pytest.mark.slow
def test_bfloat16_by_openvino_differs_by_its_rounding(exported):
    if not choose.processor_has_bfloat16():
        pytest.skip("OpenVINO has no bfloat16 on this processor")
    config, params = exported
    frames = np.random.default_rng(2).integers(0, 255, (3, 60, 80, 3), np.uint8)
    expected = DepthEstimator(config, params).infer(frames)
    network, _ = network_for(config, params, RuntimeConfig(runtime="openvino", precision="bfloat16"))
    found = DepthEstimator.of(network).infer(frames)
    assert 1e-4 < largest_share(found, expected) < 0.05
    ours, _ = network_for(config, params, RuntimeConfig(precision="bfloat16"))
    assert largest_share(DepthEstimator.of(ours).infer(frames), expected) < 0.05


@pytest.mark.parametrize(
    ("after", "forced", "taken"), [(0.1019, False, True), (0.1021, False, False), (0.1021, True, True)]
)
def test_int8_is_refused_where_it_costs_more_than_two_hundredths(tmp_path, monkeypatch, after, forced, taken):
    monkeypatch.setenv("ENDODAV_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(int8, "require_nncf", lambda option: None)
    monkeypatch.setattr(int8, "processor_has_bfloat16", lambda: False)
    monkeypatch.setattr(int8, "cached_export", lambda config, params, tell: None)
    config, params = small_config("endodac"), small_params("endodac")
    files = int8.Int8Files(config, params, forced=forced)
    card = Card("int8", "none", notes=("fine in int8",))
    measured = cost.Cost("frames", 0.1, after, 48)
    card = dataclasses.replace(card, entries={"cost": dataclasses.asdict(measured)})
    about = Manifest("openvino", "int8", config, card, {}, "0")
    monkeypatch.setattr(int8, "cached", lambda folder, write, whole, tell, first: about)
    monkeypatch.setattr(files, "_folder", lambda use: tmp_path)
    if taken:
        assert files.prepare("frames") == "fine in int8"
        return
    with pytest.raises(UserError, match=r"abs rel 0\.1000 -> 0\.1021 \(\+2\.1%\).*, above 2%; add --int8-force"):
        files.prepare("frames")


def test_auto_says_what_it_took_and_why(monkeypatch):
    installed: set[str] = set()
    monkeypatch.setattr(choose, "installed", installed.__contains__)
    monkeypatch.setattr(choose, "processor_has_bfloat16", lambda: False)
    monkeypatch.setattr(choose, "require_openvino", lambda option: None)
    engine, said = choose_runtime("auto", "float32")
    assert (engine, "pip install" in said) == ("jax", True)
    installed |= {"onnxruntime", "jax2onnx"}
    engine, said = choose_runtime("auto", "float32")
    assert (engine, "OpenVINO, not installed" in said) == ("onnxruntime", True)
    for live, precision in ((True, "float32"), (False, "bfloat16")):
        engine, said = choose_runtime("auto", precision, live)
        assert (engine, "pip install" in said) == ("jax", True)
    installed.add("openvino")
    engine, said = choose_runtime("auto", "float32")
    assert (engine, "faster than JAX" in said) == ("openvino", True)
    engine, said = choose_runtime("auto", "bfloat16")
    assert (engine, "no bfloat16" in said) == ("jax", True)
    monkeypatch.setattr(choose.jax, "default_backend", lambda: "gpu")
    assert choose_runtime("auto", "float32") == ("jax", "runtime jax: it uses this machine's gpu")


def test_auto_takes_jax_where_openvino_is_broken_or_nothing_can_be_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(choose, "installed", lambda package: True)
    monkeypatch.setattr(choose, "processor_has_bfloat16", lambda: False)
    config, params = small_config("endodac"), small_params("endodac")

    def without_a_library():
        raise ImportError("libtbb.so.12: cannot open shared object file")

    with monkeypatch.context() as patch:
        patch.setattr(openvino_file, "import_openvino", without_a_library)
        network, said = network_for(config, params, RuntimeConfig(runtime="auto"))
        assert isinstance(network, JaxNetwork)
        assert "OpenVINO cannot be imported (libtbb.so.12" in said
        with pytest.raises(UserError, match="cannot be imported"):
            network_for(config, params, RuntimeConfig(runtime="openvino"))
        (tmp_path / "frame.onnx").touch()
        with pytest.raises(UserError, match=r"cannot be imported \(libtbb.*reinstall it"):
            ExportedNetwork(config, lambda part: tmp_path / "frame.onnx", "openvino").session("frame")
    monkeypatch.setattr(choose, "require_openvino", lambda option: None)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENDODAV_JAX_CACHE", str(tmp_path / "file"))
    network, said = network_for(config, params, RuntimeConfig(runtime="auto"))
    assert isinstance(network, JaxNetwork)
    assert "is a file" in said
    assert "by ENDODAV_JAX_CACHE" in said
    assert "\n" not in said


@pytest.mark.slow
def test_a_network_prepared_for_one_use_lets_its_weights_go(exported):
    config, params = exported
    weights = {name: jax.tree.map(np.copy, tree) for name, tree in params.items()}
    watched = [weakref.ref(leaf) for leaf in jax.tree.leaves(weights)]
    network, _ = network_for(config, weights, RuntimeConfig(runtime="openvino"), "video")
    del weights
    gc.collect()
    assert not any(leaf() is not None for leaf in watched)
    assert DepthEstimator.of(network).infer(np.zeros((2, 60, 80, 3), np.uint8)).shape == (2, 60, 80)


def test_a_network_is_exported_once_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDODAV_JAX_CACHE", str(tmp_path))

    def written(config, params, card, folder, *_, **__):
        with whole_file(folder) as part:
            part.mkdir()
            (part / "frame.onnx").touch()
            about = Manifest("onnx", "float32", config, card, {"frame": "frame.onnx"}, "0")
            (part / MANIFEST_NAME).write_text(about.of_files(part).to_text())

    monkeypatch.setattr(runtimes_exported, "write_parts", written)
    config, params, said = small_config("endodac"), small_params("endodac"), []
    for _ in range(2):
        file = runtimes_exported.cached_export(config, params, said.append)("frame")
        assert file.is_file()
    assert said == ["exporting the network to ONNX, once for these weights"]
    monkeypatch.setattr(runtimes_exported, "programs_digest", lambda: "of changed code")
    assert runtimes_exported.cached_export(config, params, said.append)("frame") != file
    assert len(said) == 2


def test_a_cached_network_is_of_these_weights_and_this_configuration():
    config, params = small_config("endodac"), small_params("endodac")
    larger = dataclasses.replace(config, image_shape=(84, 112))
    names = [
        network_digest(config, params),
        network_digest(larger, params),
        network_digest(dataclasses.replace(config, normalise=not config.normalise), params),
        network_digest(config, jax.tree.map(lambda leaf: leaf * 2, params)),
    ]
    assert len(set(names)) == len(names)
    assert network_digest(config, params) == names[0]


@pytest.mark.parametrize(
    "damage",
    ["changed", "cut", "missing", "no manifest", "another manifest", "no text", "no parts", "no digests", "a file"],
)
def test_a_damaged_cache_is_written_anew(tmp_path, damage):
    def write(folder):
        with whole_file(folder, keep=True) as part:
            part.mkdir()
            (part / "encode.onnx").write_bytes(b"the network")
            about = Manifest("onnx", "float32", small_config("endodac"), Card("a", "b"), {"encode": "encode.onnx"}, "0")
            (part / MANIFEST_NAME).write_text(about.of_files(part).to_text())

    def not_again(folder):
        raise AssertionError("it was whole")

    def whole(about):
        if about.parts.keys() != {"encode"}:
            raise UserError("parts are missing")

    folder = tmp_path / "cache" / "parts"
    about = cached(folder, write, whole)
    assert cached(folder, not_again, whole) == about
    match damage:
        case "changed":
            (folder / "encode.onnx").write_bytes(b"the netw0rk")
        case "cut":
            (folder / "encode.onnx").write_bytes(b"the net")
        case "missing":
            (folder / "encode.onnx").unlink()
        case "no manifest":
            (folder / MANIFEST_NAME).unlink()
        case "another manifest":
            (folder / MANIFEST_NAME).write_text("{}")
        case "no text":
            (folder / MANIFEST_NAME).write_bytes(b"\xff\xfe{")
        case "no parts" | "no digests":
            values = json.loads((folder / MANIFEST_NAME).read_text())
            values[damage.removeprefix("no ")] = {}
            (folder / MANIFEST_NAME).write_text(json.dumps(values))
        case "a file":
            shutil.rmtree(folder)
            folder.touch()
    said: list[str] = []
    assert cached(folder, write, whole, said.append, "once") == about
    assert [line.endswith("; writing it anew") for line in said] == [True, False]
    assert said[1] == "once"
    assert (folder / "encode.onnx").read_bytes() == b"the network"
    assert [place.name for place in folder.parent.iterdir()] == ["parts"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"runtime": None}, "runtime: None is not one of jax, onnxruntime, openvino, auto"),
        ({"runtime": ""}, "runtime: '' is not one of"),
        ({"runtime": "OpenVINO"}, "runtime: 'OpenVINO' is not one of"),
        ({"precision": ""}, "precision: '' is not one of"),
        ({"precision": "float16"}, "precision: 'float16' is not one of float32, bfloat16, int8"),
    ],
)
def test_load_refuses_what_there_is_not(given, said):
    with pytest.raises(UserError, match=re.escape(said)):
        endodav_jax.load(**given)


def test_the_card_of_a_loaded_network_says_what_runs_it(monkeypatch):
    monkeypatch.setattr(choose, "installed", lambda package: False)
    assert endodav_jax.load(runtime="auto").card.notes[-1].startswith("runtime jax: OpenVINO is faster on a CPU, but")
    assert not any("runtime" in note for note in endodav_jax.load().card.notes)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (RuntimeConfig(precision="int8"), "--runtime openvino"),
        (RuntimeConfig(precision="int8", runtime="onnxruntime"), "onnxruntime runs float32"),
        (RuntimeConfig(precision="bfloat16", runtime="onnxruntime"), "onnxruntime runs float32"),
        (RuntimeConfig(precision="bfloat16", runtime="openvino"), "OpenVINO does not support it on this processor"),
        (RuntimeConfig(int8_frames="a.mp4"), "--int8-frames"),
    ],
)
def test_what_a_runtime_does_not_have_is_one_line(monkeypatch, wanted, said):
    monkeypatch.setattr(choose, "require_openvino", lambda option: None)
    monkeypatch.setattr(choose, "processor_has_bfloat16", lambda: False)
    with pytest.raises(UserError, match=said) as raised:
        network_for(small_config("endodac"), {}, wanted)
    assert "\n" not in str(raised.value)


def test_frames_to_calibrate_on_that_are_no_video_are_one_line(capsys, tmp_path):
    if importlib.util.find_spec("nncf") is None:
        pytest.skip("the extra [openvino] is not installed")
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"clip\.mp4"):
        calibration.video_frames(str(tmp_path / "clip.mp4"))


def test_predictions_have_no_runtime(capsys, tmp_path):
    words = ["evaluate", str(tmp_path), "--predictions", "p", "-o", str(tmp_path / "out"), "--runtime", "openvino"]
    assert main(words) == EXIT_USER_ERROR
    assert "omit --runtime" in capsys.readouterr().err
