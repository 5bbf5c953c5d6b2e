"""`endodav infer --steady` from the user's side: flickering, bent depth is mended, and what is not is said."""

import json

import numpy as np
import pytest
from PIL import Image

from endodav_jax import cli
from endodav_jax.depth_video import run as job
from endodav_jax.errors import EXIT_USER_ERROR
from endodav_jax.models import DepthModelConfig
from tests.bumpy_wall import INTRINSICS, SIZE, look, stroll
from tests.media_fixtures import CARD
from tests.reconstruction.test_refine import BEND, FLICKER, FRAMES

LENS = ",".join(map(str, INTRINSICS))


class BentNetwork:
    """Its depth is the wall's, bent and with a factor of its own in every frame."""

    config = DepthModelConfig()

    def iter_infer(self, frames, align="endodav", view_mask=None, on_window=None, mask_of=None):
        """Yields (place, disparity float32 [H, W])."""
        for number, _ in enumerate(frames):
            depth = look(stroll(FRAMES)[number])[1] * BEND * FLICKER[number]
            yield number, self.config.output_of(depth).astype(np.float32)


@pytest.fixture
def frames(tmp_path):
    (tmp_path / "frames").mkdir()
    for number, pose in enumerate(stroll(FRAMES)):
        Image.fromarray(look(pose)[0]).save(tmp_path / "frames" / f"{number:03d}.png")
    return tmp_path / "frames"


@pytest.fixture
def infer(monkeypatch, tmp_path, frames):
    monkeypatch.setattr(job, "load_estimator", lambda weights, config: (BentNetwork(), CARD))

    def run(*arguments) -> int:
        return cli.main(["infer", str(frames), "-o", str(tmp_path / "out"), "--videos", "none", *arguments])

    return run


def written(tmp_path) -> tuple[np.ndarray, np.ndarray, dict]:
    out = tmp_path / "out"
    with np.load(out / "frames_depths.npz") as file:
        return file["disparities"], file["depths"], json.loads((out / "frames_meta.json").read_text())


def off(depths) -> np.ndarray:
    """What log depth is off by after the clip's own factor."""
    truth = np.stack([look(pose)[1] for pose in stroll(FRAMES)])
    error = np.log(depths) - np.log(truth)
    return error - error.mean()


def test_depth_flickers_less_and_is_less_bent_and_that_is_said(infer, tmp_path, capsys):
    assert infer("--intrinsics", LENS) == 0
    _, before, about = written(tmp_path)
    assert about["steadied"] is None
    assert infer("--intrinsics", LENS, "--steady", "--overwrite") == 0
    disparities, after, about = written(tmp_path)
    assert np.abs(off(after)).mean() < 0.35 * np.abs(off(before)).mean()
    assert off(after).mean((1, 2)).std() < 0.25 * off(before).mean((1, 2)).std()
    np.testing.assert_allclose(DepthModelConfig().depth(disparities), after, rtol=1e-5)
    assert about["steadied"] == "every frame, along the camera's path"
    printed = capsys.readouterr().out
    assert "steadied along the camera's path" in printed
    assert "guessed" not in printed


def test_left_out_pixels_stay_left_out(infer, tmp_path):
    (tmp_path / "masks").mkdir()
    mask = np.full(SIZE, 255, np.uint8)
    mask[:20, :30] = 0
    for number in range(FRAMES):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number:03d}.png")
    assert infer("--intrinsics", LENS, "--steady", "--masks", str(tmp_path / "masks"), "--mask-outputs") == 0
    _, depths, _ = written(tmp_path)
    assert (depths[:, mask == 0] == 0).all()
    assert (depths[:, mask > 0] > 0).all()


def test_without_a_lens_the_factors_alone_are_corrected_and_that_is_said(infer, tmp_path, capsys):
    assert infer() == 0
    before = off(written(tmp_path)[1])
    assert infer("--steady", "--overwrite") == 0
    after = off(written(tmp_path)[1])
    assert after.mean((1, 2)).std() < 0.5 * before.mean((1, 2)).std()
    shape = [error - error.mean((1, 2), keepdims=True) for error in (before, after)]
    np.testing.assert_allclose(*shape, atol=1e-4)
    assert "each frame's factor alone was corrected; give --intrinsics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--intrinsics", "LENS"], "distorts; undistort the recording"),
        (["--max-len", "1"], "a camera's path needs"),
    ],
)
def test_what_cannot_be_steadied_is_refused_in_one_line(arguments, message, infer, tmp_path, capsys):
    camera = {"fx": 80.0, "fy": 80.0, "cx": 47.0, "cy": 36.0, "model": "fisheye", "distortion": [0.02, -0.01, 0, 0]}
    (tmp_path / "lens.json").write_text(json.dumps(camera))
    arguments = [str(tmp_path / "lens.json") if word == "LENS" else word for word in arguments]
    assert infer("--steady", "--quiet", *arguments) == EXIT_USER_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("scale", [["length", "1,1,30,1,0=5"], ["poses", "poses.txt"]])
def test_a_scale_along_rays_is_refused_for_a_lens_that_distorts(scale, infer, tmp_path, monkeypatch, capsys):
    camera = {"fx": 80.0, "fy": 80.0, "cx": 47.0, "cy": 36.0, "model": "fisheye", "distortion": [0.02, -0.01, 0, 0]}
    (tmp_path / "lens.json").write_text(json.dumps(camera))
    monkeypatch.chdir(tmp_path)
    np.savetxt("poses.txt", np.tile(np.eye(4)[:3].ravel(), (40, 1)))
    assert infer("--quiet", "--intrinsics", "lens.json", "--scale", *scale) == EXIT_USER_ERROR
    assert f"--scale {scale[0]}: the lens of lens.json distorts" in capsys.readouterr().err
