"""Every command of the README and of the pages for users runs: on stand-ins in the real layouts, at small size."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from endodav_jax.checkpoints import Card, save_model
from endodav_jax.cli import COMMANDS, main
from endodav_jax.data.splits import published_counts, published_list
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED
from endodav_jax.models.config import DepthModelConfig
from tests.conversion.torch_writer import write_pth
from tests.conversion.weights import params_of, state_dict_of
from tests.data import fixtures
from tests.data.scene import render_truth
from tests.media_fixtures import moving_picture, write_video
from tests.quick_compilation import QUICK_COMPILATION

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# In the order in which a user goes through them: later ones use what earlier ones have made.
PAGES = ("infer", "finetune", "weights", "data", "evaluate", "reproduce")
TEXTS = [README, *((ROOT / "docs" / f"{page}.md").read_text() for page in PAGES)]
_FRAMES = 6

# Commands that tests of their own run: how they begin -> the file with the test.
RUN_ELSEWHERE = {
    "make quickstart": "Makefile",
    "make test": ".ci/run",
    "pip install": ".ci/run",
    "python -m pytest": ".ci/run",
    "python -m endodav_jax.main --config quickstart": "tests/quickstart/test_quickstart.py",
    "endodav weights": "tests/jobs/test_weights.py",
    "endodav stream 0": "tests/jobs/test_stream.py",
    "endodav infer A.mp4": "tests/jobs/test_infer_many.py",
    "endodav infer procedure.mp4 -o out/steady": "tests/jobs/test_infer_steady.py",
    "endodav weights get": "tests/jobs/test_weights.py",
    "python tools/benchmark.py ladder": "tests/training/test_ladder.py",
    "endodav reproduce study": "tests/tables/test_study.py",
}

# What makes a command small: a part of it -> words that are added.
_SMALL_TRAINING = (
    "--config.model.preset=vitt", "--config.model.image_shape=(28, 28)", "--config.data.clip_length=2",
    "--config.train.steps=1", "--config.train.resnet_layers=10", "--config.train.remat=False",
    "--config.train.objective.scales=(0,)", "--config.train.objective.remat=False",
)  # fmt: skip
SMALLER = {
    "prepare frames": ("--size", "64x64", "--intrinsics", "60,60,32,32"),
    "prepare scared": ("--split", "train,validation,test", "--size", "64x64"),
    "main --config finetune_published": _SMALL_TRAINING,
    # No camera moves in the moving picture.
    "main --config finetune_own": (
        *_SMALL_TRAINING, "--config.train.objective.camera=pose", "--config.train.objective.learn_intrinsics=True",
    ),
    "main --config endodav_vitb_scared": _SMALL_TRAINING,
    "main --config smoke": (*_SMALL_TRAINING, "--config.data.phantom.frames=4"),
    # What would train for days is given.
    "reproduce table1": ("--endodav", "weights/endodav_vitb", "--endodac", "weights/endodac_vitb"),
    "reproduce table2": (
        "--endodav", "weights/endodav_vitb", "--endodav-without-projection", "weights/endodav_vitb",
    ),
}  # fmt: skip


def blocks(language: str, text: str = README) -> list[str]:
    """A text's blocks of code in a language; of the shell if that is empty."""
    parts = re.split(r"^```(.*)\n", text, flags=re.MULTILINE)
    # Text, language, code, "", text, ...
    return [code for opening, code in zip(parts[1::4], parts[2::4], strict=True) if opening == language]


def commands() -> list[str]:
    """The commands of all blocks, in order, each once."""
    text = "\n".join(block for text in TEXTS for block in blocks("", text))
    lines = text.replace("\\\n", " ").splitlines()
    return list(dict.fromkeys(" ".join(line.split("#")[0].split()) for line in lines if line.strip()))


def test_the_readme_has_commands_and_those_tested_elsewhere_are():
    assert len(commands()) > 12
    assert all(any(part in command for command in commands()) for part in SMALLER)
    for beginning, place in RUN_ELSEWHERE.items():
        assert any(command.startswith(beginning) for command in commands())
        assert (ROOT / place).is_file()


def test_files_that_the_readme_names_are_there():
    named = set(re.findall(r"(?:configs|tools|tests)/[\w/]+(?:\.\w+)?", README)) | set(
        re.findall(r"!\[.*?\]\((.*?)\)", README)
    )
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_commands_within_the_text_are_known():
    text = re.sub(r"^```.*?^```$", "", "\n".join(TEXTS), flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(endodav|python tools/benchmark\.py)\s+([\w-]+)", text)
    assert inline
    parts = {path.stem for path in (ROOT / "tools" / "benchmarks").glob("[a-z]*.py")}
    unknown = [name for program, name in inline if name not in (COMMANDS if program == "endodav" else parts)]
    assert unknown == []


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with everything that the README's user has."""
    write_video(tmp_path / "procedure.mp4", map(moving_picture, range(10)))
    (tmp_path / "my_videos").mkdir()
    write_video(tmp_path / "my_videos" / "a.mp4", (moving_picture(i, 64, 64) for i in range(8)))
    truth = render_truth(_FRAMES, 64, 64)
    for name in published_counts("scared_video"):
        dataset, keyframe = re.findall(r"\d+", name)
        fixtures.write_scared_download(tmp_path / f"downloads/scared/dataset_{dataset}/keyframe_{keyframe}", truth)
    for name in published_list("hamlyn_video", "val_files_all"):
        fixtures.write_hamlyn(tmp_path / "downloads/hamlyn" / name, truth)
    for preset in ("vits", "vitb"):  # only the names are those of the large files
        state = state_dict_of(DepthModelConfig.vda("vitt"))
        write_pth(tmp_path / f"video_depth_anything_{preset}.pth", state)
    for name in ("endodav", "endodac"):
        config = getattr(DepthModelConfig, name)("vitt", image_shape=(28, 28))
        save_model(tmp_path / f"weights/{name}_vitb", config, {"depth": params_of(config)}, Card("random", "MIT"))
    (tmp_path / "other_method").mkdir()
    for name in published_list("scared_video", "test_files"):
        place = tmp_path / "other_method" / f"{'/'.join(name.split('/')[-3:])}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, np.stack([1 / frame.depth_mm for frame in truth]).astype(np.float32))
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(words: list[str], site: Path) -> None:
    """Runs Python with these arguments in a process of its own."""
    words = [sys.executable, *words]
    done = subprocess.run(words, cwd=site, env=os.environ | QUICK_COMPILATION, capture_output=True, text=True)
    assert done.returncode == EXIT_OK, f"{' '.join(words)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
def test_every_command_of_the_readme_runs(site, monkeypatch, capsys):
    monkeypatch.chdir(site)
    for command in commands():
        if any(command.startswith(beginning) for beginning in RUN_ELSEWHERE):
            continue
        program, *words = shlex.split(command)
        words = [re.sub("^/data", str(site / "downloads"), word) for word in words]
        words += [extra for part, extras in SMALLER.items() if part in command for extra in extras]
        if program == "python":
            run(words, site)
            continue
        # In this process: to start another sixty times would be most of the work.
        code = main(words)
        printed = capsys.readouterr()
        # A download with six frames a sequence is not whole, and `verify` says so.
        of_a_download = words[0] == "verify" and words[1] != "prepared"
        wanted = EXIT_SOME_FAILED if of_a_download else EXIT_OK
        assert code == wanted, f"{command}\n{printed.out[-1500:]}\n{printed.err[-3000:]}"
    (program,) = blocks("python")
    given = "import numpy as np\nframes = np.zeros((3, 28, 42, 3), np.uint8)\nreader = list(frames)\n"
    run(["-c", given + program], site)
