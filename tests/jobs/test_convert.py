"""`endodav convert` and `endodav export` as a user types them."""

import subprocess
import sys
from pathlib import Path

import pytest

from endodav_jax.cli import main
from tests.conversion.torch_writer import write_archive, write_pth
from tests.conversion.weights import ENDODAV, VDA, state_dict_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("weights") / "video_depth_anything_vitt.pth", state_dict_of(VDA))


def test_convert_says_what_it_found(tmp_path, weights, capfd):
    assert main(["convert", str(weights), str(tmp_path / "network")]) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "Video-Depth-Anything vitt",
        "licence: Video-Depth-Anything vitt weights: Apache-2.0",
        f"written: {tmp_path / 'network'}",
    ]
    assert said.err == ""
    assert (
        main(["convert", str(tmp_path / "network"), "-o", str(tmp_path / "w.safetensors"), "--to", "safetensors"]) == 0
    )
    assert (tmp_path / "w.safetensors").is_file()


def test_mistakes_are_one_line_and_exit_code_2(tmp_path, weights, capfd):
    assert main(["convert", str(weights)]) == 2
    assert "name the output once" in capfd.readouterr().err
    evil = write_archive(tmp_path / "evil.pth", b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", {})
    assert main(["convert", str(evil), str(tmp_path / "network")]) == 2
    line = capfd.readouterr().err
    assert "posix.system" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "network").exists()


def test_export_writes_the_adapter_and_the_merged_network(tmp_path, capfd):
    trained = write_pth(tmp_path / "depth_model.pth", state_dict_of(ENDODAV))
    assert main(["export", str(trained), str(tmp_path / "adapter.safetensors")]) == 0
    assert "--adapter" in capfd.readouterr().out
    assert main(["export", str(trained), "-o", str(tmp_path / "merged"), "--what", "merged"]) == 0
    assert (tmp_path / "merged" / "card.json").is_file()


@pytest.mark.parametrize(
    ("command", "name", "words", "said"),
    [
        ("convert", "w.safetensors", [], "--to orbax writes a folder; give a name without .safetensors, or add"),
        ("convert", "w.pth", [], "--to orbax writes a folder; give a name without .pth"),
        (
            "convert",
            "w.pth",
            ["--to", "safetensors"],
            "no such files are written here; name a .safetensors file or a folder",
        ),
        (
            "convert",
            "w.onnx",
            ["--to", "safetensors"],
            "no such files are written here; name a .safetensors file or a folder",
        ),
        (
            "export",
            "w.pth",
            ["--what", "merged"],
            "no such files are written here; name a .safetensors file or a folder",
        ),
        ("export", "adapter/", [], "an adapter is written as a file; give it the suffix .safetensors"),
        ("export", "adapter.pth", [], "an adapter is written as a file; give it the suffix .safetensors"),
    ],
)
def test_names_that_are_not_what_would_be_written_are_refused(tmp_path, monkeypatch, capfd, command, name, words, said):
    trained = write_pth(tmp_path / "depth_model.pth", state_dict_of(ENDODAV))
    monkeypatch.chdir(tmp_path)
    assert main([command, str(trained), name, *words]) == 2
    line = capfd.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["depth_model.pth"]


def test_the_tool_is_the_same_command(tmp_path, weights):
    tool = Path(__file__).parents[2] / "tools" / "convert_weights.py"
    done = subprocess.run([sys.executable, tool, weights, tmp_path / "network"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Video-Depth-Anything vitt" in done.stdout
