"""Files for other runtimes hold what the network computes, say what they are, and refuse what they are not."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import jax
import numpy as np
import pytest

from endodav_jax.checkpoints import Card, save_model
from endodav_jax.cli import main
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USER_ERROR
from endodav_jax.export import export, verify
from endodav_jax.export.sessions import open_session
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.models import DepthModelConfig, window_network
from endodav_jax.video.reader import FrameReader, open_source
from tests.inference.networks import IMAGE_SHAPE, lively_params, small_config, small_params
from tests.media_fixtures import moving_picture, numbered_picture, write_video

pytest.importorskip("jax2onnx", reason="the extra [onnx] is not installed")
pytestmark = [
    pytest.mark.slow,
    # onnxscript and OpenVINO call what their own dependencies have marked as old.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
LINE = re.compile(r"^  (\w+) +(\w+) +largest (\S+)  mean (\S+)$", re.MULTILINE)  # a part that passes


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Checkpoints of small networks."""
    site = tmp_path_factory.mktemp("export")
    for family in ("endodav", "endodac"):
        save_model(site / family, small_config(family), {"depth": small_params(family)}, Card("random", "MIT"))
    return site


@pytest.fixture(scope="module")
def onnx_folder(site):
    assert main(["export", str(site / "endodav"), str(site / "onnx"), "--what", "onnx"]) == EXIT_OK
    return site / "onnx"


@pytest.fixture(scope="module")
def black_box(site):
    """A whole network in one file, for any number of frames."""
    file = site / "endodac.onnx"
    assert main(["export", str(site / "endodac"), str(file), "--what", "onnx", "--dynamic-batch"]) == EXIT_OK
    return file


def encoded(config: DepthModelConfig, frames: np.ndarray) -> list[np.ndarray]:
    """Features of frames [N, H, W, 3], by the network as it was before the export: its adapters are not folded in."""
    encode = jax.jit(window_network(config, small_params("endodav")).encode)
    return [np.asarray(leaf) for leaf in encode(frames)]


def assert_same_features(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Within 1e-4 of each one's range."""
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.ptp(theirs))


def test_every_part_of_an_onnx_export_agrees_with_the_network_in_both_runtimes(site, onnx_folder, capsys):
    for engine in ("onnxruntime", "openvino"):
        words = ["verify-export", str(onnx_folder), "--weights", str(site / "endodav"), "--engine", engine]
        assert main(words) == EXIT_OK
        out = capsys.readouterr().out
        assert all(
            f"  {part}" in out
            for part in ("video", "encode", "coarse", "fine", "stream_first", "stream_next", "stream_step")
        )
        assert "above" not in out


def test_the_loop_of_the_docs_runs_a_video(site, onnx_folder, tmp_path):
    loop = DOCS.read_text().split("## A loop over a video")[1].split("```py\n")[1].split("```")[0]
    height, width = IMAGE_SHAPE
    pictures = [numbered_picture(number, height, width) for number in range(60)]
    video = write_video(tmp_path / "procedure.mp4", pictures, options={"crf": "10"})
    scope: dict = {}
    exec(loop.replace("out/vits_onnx", str(onnx_folder)).replace("procedure.mp4", str(video)), scope)
    with av.open(str(video)) as file:
        frames = np.stack([frame.reformat(width, height, "rgb24").to_ndarray() for frame in file.decode(video=0)])
    config, params = small_config("endodav"), small_params("endodav")
    expected = DepthEstimator(config, params).infer(frames, "none")
    assert len(expected) == 60
    np.testing.assert_allclose(np.stack(scope["disparities"]), expected, atol=1e-4 * np.ptp(expected))


def test_one_part_of_a_folder_is_compared_with_that_part(site, onnx_folder, tmp_path, capsys):
    weights = ["--weights", str(site / "endodav")]
    for part in ("encode", "stream_step"):
        assert main(["verify-export", str(onnx_folder / f"{part}.onnx"), *weights]) == EXIT_OK
        lines = capsys.readouterr().out.splitlines()[1:]
        assert {line.split()[0] for line in lines} == {part}
    renamed = tmp_path / "renamed.onnx"
    renamed.write_bytes((onnx_folder / "encode.onnx").read_bytes())
    assert main(["verify-export", str(renamed), *weights]) == EXIT_USER_ERROR
    assert "one of several parts" in capsys.readouterr().err
    assert main(["verify-export", str(onnx_folder), *weights, "--engine", "jax"]) == EXIT_USER_ERROR
    assert "jax does not read .onnx files; use onnxruntime or openvino" in capsys.readouterr().err


def test_half_precision_passes_its_own_check(site, capsys):
    folder = site / "half"
    words = ["export", str(site / "endodav"), str(folder), "--what", "onnx", "--precision", "float16"]
    assert main(words) == EXIT_OK
    assert main(["verify-export", str(folder), "--weights", str(site / "endodav")]) == EXIT_OK
    assert "above" not in capsys.readouterr().out


def test_a_black_box_file_says_what_it_is(site, black_box, capsys):
    import onnx

    model = onnx.load(black_box)
    about = json.loads({prop.key: prop.value for prop in model.metadata_props}["endodav_jax"])
    assert (about["card"]["licence"], about["config"]["family"]) == ("MIT", "endodac")
    assert [about["opset"]] == [opset.version for opset in model.opset_import if not opset.domain]
    assert about["normalisation"] is None  # EndoDAC takes frames as they are
    assert about["output"]["units"].startswith("inverse depth")
    assert [port.name for port in (*model.graph.input, *model.graph.output)] == ["frames", "disparity"]
    frames = np.random.default_rng(0).random((3, 3, 256, 320), np.float32)
    whole = open_session(black_box)(frames)[0]
    ports = {"inputs": {"frames": ["batch", 3, 256, 320]}, "outputs": {"disparity": ["batch", *whole.shape[1:]]}}
    assert about["ports"] == {"frame": ports}
    assert np.allclose(whole[1:2], open_session(black_box)(frames[1:2])[0], atol=1e-5)
    assert main(["verify-export", str(black_box), "--weights", str(site / "endodac")]) == EXIT_OK
    capsys.readouterr()
    assert main(["verify-export", str(black_box), "--weights", str(site / "endodav")]) == EXIT_USER_ERROR
    assert "other weights" in capsys.readouterr().err


def test_the_normalisation_that_every_part_states_is_the_one_within_the_network(onnx_folder):
    import onnx

    about = json.loads((onnx_folder / "network.json").read_text())
    stated = about["normalisation"]
    assert stated == {
        "mean": [0.485, 0.456, 0.406],
        "standard_deviation": [0.229, 0.224, 0.225],
        "applied": "within the network",
    }
    for file in about["parts"].values():
        (text,) = (prop.value for prop in onnx.load(onnx_folder / file).metadata_props if prop.key == "endodav_jax")
        assert json.loads(text)["normalisation"] == stated
    frames = np.random.default_rng(2).random((1, *IMAGE_SHAPE, 3), np.float32)
    by_hand = (frames - np.float32(stated["mean"])) / np.float32(stated["standard_deviation"])
    expected = encoded(dataclasses.replace(small_config("endodav"), normalise=False), by_hand)
    assert_same_features(open_session(onnx_folder / "encode.onnx")(np.moveaxis(frames, -1, 1)), expected)


def test_a_metric_network_gives_depth_in_metres_by_that_name(site):
    import onnx

    source = site / "metric"
    config = dataclasses.replace(small_config("endodac"), output="metric_depth")
    save_model(source, config, {"depth": small_params("endodac")}, Card("random", "MIT"))
    assert main(["export", str(source), str(site / "metric.onnx"), "--what", "onnx"]) == EXIT_OK
    model = onnx.load(site / "metric.onnx")
    about = json.loads({prop.key: prop.value for prop in model.metadata_props}["endodav_jax"])
    assert [port.name for port in model.graph.output] == ["depth"]
    assert about["output"] == {"name": "depth", "units": "metres along the optical axis"}
    assert "metres" in model.doc_string


@pytest.mark.long
@pytest.mark.parametrize(
    ("family", "fields", "output"),
    [
        ("endodav", {"adapter": "dvlora", "head": "multi"}, "disparity"),
        ("endodav", {"adapter": "lora", "temporal_adapter": False}, "disparity"),
        ("vda", {"output": "metric_depth"}, "depth"),
        ("endodac", {"adapter": "ssb", "head": "single"}, "disparity"),
    ],
)
def test_other_adapters_heads_and_outputs_are_exported_as_they_compute(tmp_path, family, fields, output):
    config = dataclasses.replace(small_config(family), **fields)
    save_model(tmp_path / "weights", config, {"depth": lively_params(config)}, Card("random", "MIT"))
    export.export_network(tmp_path / "weights", tmp_path / "network.onnx", "onnx")
    about, _ = verify.read_manifest(tmp_path / "network.onnx")
    assert [list(ports["outputs"]) for ports in about.ports.values()] == [[output]]
    (found,) = verify.verify_export(tmp_path / "network.onnx", tmp_path / "weights", {}, "onnxruntime")
    assert 0 < found.mean < found.largest < verify.TOLERANCE["float32"]


@pytest.mark.long
@pytest.mark.parametrize("preset", ["vitb", "vitl"])
def test_the_large_presets_are_exported_as_they_compute(tmp_path, preset):
    config = DepthModelConfig.endodav(preset, image_shape=(28, 28))
    save_model(tmp_path / "weights", config, {"depth": lively_params(config)}, Card("random", "MIT"))
    export.export_network(tmp_path / "weights", tmp_path / "network.onnx", "onnx")
    (found,) = verify.verify_export(tmp_path / "network.onnx", tmp_path / "weights", {}, "onnxruntime")
    assert 0 < found.mean < found.largest < verify.TOLERANCE["float32"]


def test_a_dynamic_batch_gives_each_frame_what_it_has_alone(site):
    folder = site / "batches"
    network = export.merged_float32(small_config("endodav"), small_params("endodav"))
    parts = ("encode", "fine")
    about = export.write_parts(*network, Card("random", "MIT"), folder, "onnx", dynamic_batch=True, only=parts)
    frames = np.random.default_rng(4).random((3, 3, *IMAGE_SHAPE), np.float32)
    encode, fine = (open_session(folder / f"{part}.onnx") for part in ("encode", "fine"))
    features = encode(frames)
    expected = encoded(small_config("endodav"), np.moveaxis(frames, 1, -1))
    assert_same_features(features, expected)
    coarse = np.random.default_rng(5).standard_normal((3, *about.ports["fine"]["inputs"]["path_3"][1:]), np.float32)
    (together,) = fine(coarse, *features[2:])
    assert together.shape == (3, *IMAGE_SHAPE)
    for i in range(3):
        (alone,) = fine(coarse[i : i + 1], *(leaf[i : i + 1] for leaf in features[2:]))
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=0, atol=1e-5 * np.ptp(alone))


def test_a_changed_weight_is_found(site, onnx_folder, capsys):
    import onnx

    model = onnx.load(onnx_folder / "fine.onnx")
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = np.frombuffer(weights.raw_data, np.float32).copy()
    values[: len(values) // 2] *= 1.2
    weights.raw_data = values.tobytes()
    spoilt = site / "spoilt"
    spoilt.mkdir()
    for file in onnx_folder.iterdir():
        (spoilt / file.name).write_bytes(file.read_bytes())
    onnx.save(model, spoilt / "fine.onnx")
    assert main(["verify-export", str(spoilt), "--weights", str(site / "endodav")]) == EXIT_SOME_FAILED
    assert "above" in capsys.readouterr().out


def test_an_openvino_export_passes_its_check_and_a_changed_weight_does_not(site, black_box, monkeypatch, capsys):
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    # The ONNX file that OpenVINO's is made from is there already.
    monkeypatch.setattr(export, "write_onnx", lambda *given: shutil.copy(black_box, given[-1] / "frame.onnx"))
    source, folder = str(site / "endodac"), site / "openvino"
    assert main(["export", source, str(folder), "--what", "openvino", "--dynamic-batch"]) == EXIT_OK
    assert {path.name for path in folder.iterdir()} == {"frame.bin", "frame.xml", "network.json"}
    about = json.loads((folder / "network.json").read_text())
    assert (about["format"], about["parts"], about["opset"]) == ("openvino", {"frame": "frame.xml"}, None)
    capsys.readouterr()
    assert main(["verify-export", str(folder), "--weights", source]) == EXIT_OK
    assert [line[:2] for line in LINE.findall(capsys.readouterr().out)] == [("frame", "random"), ("frame", "rendered")]
    tensors = re.findall(r'type="f32"[^>]* offset="(\d+)" size="(\d+)"', (folder / "frame.xml").read_text())
    size, offset = max((int(size), int(offset)) for offset, size in tensors)
    largest = np.memmap(folder / "frame.bin", np.float32, "r+", offset, (size // 4,))
    largest[: size // 8] *= np.float32(1.2)
    largest.flush()
    assert main(["verify-export", str(folder), "--weights", source]) == EXIT_SOME_FAILED
    assert "above" in capsys.readouterr().out


def test_a_file_is_compared_on_frames_of_the_video_that_is_given(site, onnx_folder, tmp_path, monkeypatch, capsys):
    seen = []  # means of the frames that the file is given

    def opened(path, *rest):
        session = open_session(path, *rest)

        def watched(*arrays):
            seen.append(arrays[0].mean())
            return session(*arrays)

        return watched

    monkeypatch.setattr(verify, "open_session", opened)
    video = write_video(tmp_path / "a.mp4", map(moving_picture, range(12)))
    words = ["--weights", str(site / "endodav"), "-i", str(video)]
    assert main(["verify-export", str(onnx_folder / "stream_step.onnx"), *words]) == EXIT_OK
    lines = LINE.findall(capsys.readouterr().out)
    assert [line[:2] for line in lines] == [("stream_step", "random"), ("stream_step", "video")]
    for _, _, largest, mean in lines:
        assert 0 < float(mean) < float(largest) < 1e-4
    # 40 frames of noise, then the video's, the last one until there are 40.
    read = [frame.rgb.mean() / 255 for frame in FrameReader(open_source(str(video)))]
    assert len(read) == 12
    assert min(np.diff(read)) > 0.005
    np.testing.assert_allclose(seen[40:], read + read[-1:] * 28, atol=0.002)
    video.unlink()
    assert main(["verify-export", str(onnx_folder / "stream_step.onnx"), *words]) == EXIT_USER_ERROR
    assert f"{video}: " in capsys.readouterr().err


def test_stablehlo_runs_in_a_process_that_knows_jax_alone(site, tmp_path):
    """As `docs/export.md` shows it, but for the file and the frames."""
    folder = site / "stablehlo"
    assert main(["export", str(site / "endodav"), str(folder), "--what", "stablehlo"]) == EXIT_OK
    (shown,) = re.findall(r"^## StableHLO without this package\n.*?^```py\n(.*?)^```", DOCS.read_text(), re.M | re.S)
    for old, new in (
        ("out/vits_stablehlo/encode.stablehlo", str(folder / "encode.stablehlo")),
        ("np.zeros((1, 3, 224, 280), np.float32)", "np.load('frames.npy')"),
    ):
        assert shown.count(old) == 1
        shown = shown.replace(old, new)
    after = (
        "import json, sys\n"
        "print(json.dumps([jax.__version__, encode.calling_convention_version, encode.platforms]))\n"
        "np.savez('features.npz', *features)\n"
        "assert 'endodav_jax' not in sys.modules\n"
    )
    frames = np.random.default_rng(3).random((1, *IMAGE_SHAPE, 3), np.float32)
    np.save(tmp_path / "frames.npy", np.ascontiguousarray(np.moveaxis(frames, -1, 1)))
    done = subprocess.run([sys.executable, "-c", shown + after], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    version, convention, platforms = json.loads(done.stdout)
    assert platforms == ["cpu", "cuda", "tpu"]
    with np.load(tmp_path / "features.npz") as saved:
        features = list(saved.values())
    assert_same_features(features, encoded(small_config("endodav"), frames))
    about = json.loads((folder / "network.json").read_text())
    shapes = [list(leaf.shape) for leaf in features]
    assert shapes == list(about["ports"]["encode"]["outputs"].values())
    assert shapes[0] == [1, 2, 3, 96]
    assert about["opset"] is None
    assert about["stablehlo"] == {"jax": version, "platforms": platforms, "calling_convention_version": convention}


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "storage"), [("stablehlo", "float32"), ("openvino", "float32"), ("openvino", "float16")]
)
def test_every_part_of_a_video_network_passes_its_check(site, tmp_path, capsys, what, storage):
    if what == "openvino":
        pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    source, folder = str(site / "endodav"), tmp_path / "parts"
    assert main(["export", source, str(folder), "--what", what, "--precision", storage]) == EXIT_OK
    parts = json.loads((folder / "network.json").read_text())["parts"]
    capsys.readouterr()
    assert main(["verify-export", str(folder), "--weights", source]) == EXIT_OK
    assert {line[0] for line in LINE.findall(capsys.readouterr().out)} == parts.keys()


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("out", ["--what", "stablehlo", "--precision", "float16"], "--what stablehlo: its files are float32"),
        ("out", ["--what", "stablehlo", "--dynamic-batch"], "--what stablehlo: its files are float32"),
        ("out", ["--what", "merged", "--dynamic-batch"], "--what merged: does not accept"),
        ("out", ["--dynamic-batch"], "--what adapter: does not accept"),
        ("out.onnx", ["--what", "onnx", "--dynamic-batch"], "--dynamic-batch: "),
        ("out.onnx", ["--what", "openvino"], "--what openvino writes a folder; give a name without .onnx"),
        ("out.xml", ["--what", "openvino"], "writes a folder; give a name without .xml"),
        ("out.safetensors", ["--what", "stablehlo"], "writes a folder; give a name without .safetensors"),
        ("out.pth", ["--what", "onnx"], "writes a folder; give a name without .pth"),
        ("out.onnx", [], "add --what onnx"),
    ],
)
def test_choices_that_a_format_does_not_have_are_one_line(site, tmp_path, capsys, name, words, said):
    assert main(["export", str(site / "endodav"), str(tmp_path / name), *words]) == EXIT_USER_ERROR
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line
    assert not list(tmp_path.iterdir())
