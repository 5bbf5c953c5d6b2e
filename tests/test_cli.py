"""The console script: one table of commands, and arguments made of the dataclasses that jobs receive."""

import dataclasses
import importlib
import re
import subprocess
import sys
import typing

import pytest

from endodav_jax import cli
from endodav_jax.config import Config, config_from_dict
from endodav_jax.depth_video.config import InferConfig, StreamConfig
from endodav_jax.errors import EXIT_USER_ERROR, UserError
from endodav_jax.fields import choices
from endodav_jax.reconstruction.config import ReconstructConfig

LAYOUT = "│╭╰─╮╯|"


def one_line(capsys, *argv: str) -> str:
    """Runs a command that fails on its arguments and returns the line it says."""
    assert cli.main(list(argv)) == EXIT_USER_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not set(LAYOUT) & set(captured.err)
    return captured.err


def arguments_of(kind) -> list[tuple[type, dataclasses.Field]]:
    """The fields of a command, of its subcommands and of the dataclasses in it."""
    found = []
    for option in typing.get_args(kind) if typing.get_origin(kind) is not None else (kind,):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            hints = typing.get_type_hints(option)
            for field in dataclasses.fields(option):
                kind = hints[field.name]
                found += arguments_of(kind) if dataclasses.is_dataclass(kind) else [(option, field)]
        elif typing.get_origin(option) is not None:
            found += arguments_of(option)
    return found


def test_help_and_version_import_neither_jax_nor_numpy():
    program = (
        "import sys; from endodav_jax.cli import main; main(['--help']); main(['--version']);"
        "print(sorted({'jax', 'flax', 'numpy', 'tyro'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"
    assert all(f"  {name} " in printed for name in cli.COMMANDS)


def test_help_and_wrong_arguments_of_every_command_come_before_jax():
    program = (
        "import contextlib, io, sys; from endodav_jax import cli\n"
        "for name in cli.COMMANDS:\n"
        "    for argument in ('--help', '--no-such-argument'):\n"
        "        printed = io.StringIO()\n"
        "        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):\n"
        "            with contextlib.suppress(SystemExit):\n"
        "                cli.main([name, argument])\n"
        "        assert printed.getvalue(), name\n"
        "        loaded = {'jax', 'flax', 'optax', 'orbax', 'tensorflow_datasets'} & set(sys.modules)\n"
        "        assert not loaded, (name, argument, sorted(loaded))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_argument_of_a_command_is_explained(name):
    command = importlib.import_module(cli.COMMANDS[name].module).Command
    arguments = arguments_of(command)
    assert arguments
    for owner, field in arguments:
        documented = "\n".join(base.__doc__ or "" for base in owner.__mro__)
        assert f"  {field.name}: " in documented, f"{owner.__name__}.{field.name}"


def test_a_field_of_the_configuration_is_a_flag_of_infer():
    command = cli.parse("infer", ["clip.mp4", "-o", "out", "--windows", "vda", "--save", "npz,exr", "--max-len", "3"])
    expected = InferConfig(windows="vda", save=("npz", "exr"), max_len=3)
    assert command.inputs == ("clip.mp4",)
    assert command.infer == expected
    assert command.infer == config_from_dict({"infer": dataclasses.asdict(expected)}).infer


def test_every_field_of_the_sections_is_a_flag_of_their_commands(capsys):
    for name, section in (("infer", InferConfig), ("evaluate", type(Config().evaluate))):
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        shown = capsys.readouterr().out
        positional = {"input", "path"}
        for field in dataclasses.fields(section):
            assert field.name in positional or f"--{field.name.replace('_', '-')}" in shown, field.name


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--align", "vda"], "windows", "vda"),
        (["--max_len", "-1"], "max_len", 0),
        (["--max-len", "7"], "max_len", 7),
        (["--target_fps", "12.5"], "target_fps", 12.5),
        (["--max_res", "640"], "max_res", 640),
        (["--encoder", "vits"], "encoder", "vits"),
        (["--grayscale"], "cmap", "gray"),
        (["--metric"], "output_kind", "metric_depth"),
        (["--precision", "bfloat16", "--fp32"], "precision", "float32"),
        (["--save", "none", "--save_npz", "--save_exr"], "save", ("npz", "exr")),
        (["--save_npz"], "save", ("npz",)),
        (["--focal-length-x", "470.4", "--focal_length_y", "471"], "intrinsics", "470.4,471.0"),
        (["--save", "png16", "--png_scale", "128"], "png_scale", 128.0),
    ],
)
def test_other_spellings_say_the_same(arguments, field, value):
    command = cli.parse("infer", ["--input_video", "clip.mp4", "--output_dir", "out", *arguments])
    told = command.other.told(command.infer)
    assert (told.input, str(command.output)) == ("clip.mp4", "out")
    assert getattr(told, field) == value


@pytest.mark.parametrize("name", ["infer", "reconstruct"])
def test_commands_that_read_video_understand_the_same_numbers(name):
    options = ["--target-fps", "-1", "--max-len", "-1", "--max-res", "-1", "--track", "-1", "--baseline", "-4.2"]
    section = getattr(cli.parse(name, ["clip.mp4", "-o", "out", *options]), name)
    assert (section.target_fps, section.max_len, section.max_res, section.track) == (0, 0, 0, -1)
    assert section.baseline == -4.2  # the left view is from the right camera


def test_a_number_that_is_wrong_is_named_in_its_own_section():
    for build, place in (
        (lambda: ReconstructConfig(voxel=-1.0), "reconstruct.voxel: -1.0"),
        (lambda: ReconstructConfig(max_len=-2), "reconstruct.max_len: -2"),
        (lambda: ReconstructConfig(track=-2), "reconstruct.track: -2"),
        (lambda: ReconstructConfig(cmap="jet"), "reconstruct.cmap: 'jet'"),
        (lambda: StreamConfig(source="0", max_res=-2), "stream.max_res: -2"),
        (lambda: InferConfig(png_scale=-1.0), "infer.png_scale: -1.0"),
        (lambda: InferConfig(png_scale=8.0), "infer.png_scale: is of 16-bit PNG; add png16 to infer.save"),
    ):
        with pytest.raises(ValueError, match=re.escape(place)):
            build()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["inferr"], "endodav: inferr: no such command; did you mean infer?"),
        (["bake"], "endodav: bake: no such command; `endodav --help` lists them"),
        (["infer", "a.mp4"], "endodav infer: Missing from endodav infer: -o FOLDER"),
        (["infer", "a.mp4", "-o", "x", "--maxlen", "3"], "--maxlen, 3; did you mean --max-len?"),
        (["infer", "a.mp4", "-o", "x", "--max-len", "many"], "endodav infer: --max-len: invalid literal"),
        (["infer", "a.mp4", "-o", "x", "--max-len", "-2"], "endodav infer: --max-len: -2 is negative"),
        (
            ["reconstruct", "a.mp4", "-o", "x", "--voxel", "-2"],
            "endodav reconstruct: --voxel: -2.0 must not be negative",
        ),
        (["reconstruct", "a.mp4", "-o", "x", "--free-scale", "-1"], "--free-scale: -1.0 must not be negative"),
        (["reconstruct", "a.mp4", "-o", "x", "--memory", "nan"], "--memory: nan must be a finite number"),
        (["reconstruct", "a.mp4", "-o", "x", "--memory", "0"], "--memory: 0.0 GB must lie in 0.05..1000"),
        (["reconstruct", "a.mp4", "-o", "x", "--target-fps", "-2"], "--target-fps: -2.0 is negative; 0 means no limit"),
        (["stream", "0", "--max-len", "-2"], "endodav stream: --max-len: -2 is negative; 0 means no limit"),
        (["infer", "a.mp4", "-o", "x", "--stereo", "tap"], "invalid choice 'tap' for argument '--stereo'"),
        (["infer", "a.mp4", "b.mp4", "-o"], "Missing value for argument '-o"),
        (["prepare", "kitti", "a", "b"], "endodav prepare: "),
        (["prepare", "scared", "a", "b", "--size", "256"], "--size: '256' is not HEIGHTxWIDTH"),
        (["prepare", "scared", "a", "b", "--size", "2x2", "--full-size"], "--full-size: --size is also given"),
        (["stream", "-", "--raw", "640"], "--raw 640: not a size such as 640x480"),
        (["describe", "--config", "quickstart", "--preset", "vits"], "give either --config FILE or --family NAME"),
        (["describe", "--config", "nowhere"], "nowhere: no configuration of that name is shipped with the package"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(capsys, argv, said):
    assert said in one_line(capsys, *argv)


def test_choices_are_those_of_the_types():
    hints = typing.get_type_hints(InferConfig)
    assert choices(hints["save"]) == ("npz", "npy", "png16", "exr", "tiff", "ply")
    assert choices(hints["encoder"]) == ("vitt", "vits", "vitb", "vitl", "")
    assert choices(hints["max_len"]) is None
    with pytest.raises(UserError, match=r"config\.infer\.cmap: 'jet' is not one of inferno, magma, turbo, gray"):
        config_from_dict({"infer": {"cmap": "jet"}})
