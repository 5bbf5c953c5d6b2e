"""`endodav reconstruct --steady` from the user's side: with bent, flickering depth, the surface is the wall's."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from endodav_jax import cli
from endodav_jax.checkpoints.card import Card
from endodav_jax.evaluation.motion import write_tum
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.reconstruction import run as job
from endodav_jax.reconstruction.layout import Layout
from tests.bumpy_wall import INTRINSICS, distance_to_wall, look, stroll
from tests.reconstruction.test_refine import BEND, FLICKER, FRAMES

POSES = stroll(FRAMES)
UNIT = 12.0  # mm of the network's unit


class BentNetwork:
    """Its depth is the wall's, bent and with a factor of its own in every frame."""

    config = DepthModelConfig()

    def iter_infer(self, frames, align, view_mask, on_overlap):
        for number, _ in enumerate(frames):
            depth = look(POSES[number])[1] / UNIT * BEND * FLICKER[number]
            yield number, self.config.output_of(depth).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes scenes in millimetres; called with the settings' name, returns the layout and what was printed."""
    folder = tmp_path_factory.mktemp("steady")
    (folder / "wall").mkdir()
    for number, taken in enumerate(POSES):
        Image.fromarray(look(taken)[0]).save(folder / "wall" / f"{number:03d}.png")
    write_tum(folder / "poses.txt", inverse_rigid(np.stack(POSES)), range(FRAMES))
    lens = ",".join(map(str, INTRINSICS))
    scenes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            job, "load_networks", lambda *_: (BentNetwork(), {"depth": {}}, Card(what="bent", licence="none"))
        )
        for name, settings in (("before", []), ("after", ["--steady"])):
            given = ["--intrinsics", lens, "--motion", "none", "--scale", "poses", str(folder / "poses.txt"), *settings]
            assert cli.main(["reconstruct", str(folder / "wall"), "-o", str(folder / name), *given]) == 0
            scenes[name] = Layout.find(folder / name)
    return scenes


def off_the_wall(layout) -> float:
    """Median distance of the surface's vertices from the wall, mm."""
    world = inverse_rigid(POSES[0])
    vertices = trimesh.load(layout.mesh(), process=False).vertices
    return float(np.median(distance_to_wall(vertices @ world[:3, :3].T + world[:3, 3])))


def depths(layout) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of every pixel, and the one that was expected."""
    truth = np.stack([look(pose)[1] for pose in POSES])
    with np.load(layout.depths) as file:
        return np.abs(file["depths_mm"] / truth - 1), file["expected_errors"]


def test_the_surface_is_nearer_to_the_wall(made):
    before, after = (off_the_wall(made[name]) for name in ("before", "after"))
    assert before > 1.0
    assert after < 0.5 * before


def test_depth_is_the_corrected_one_and_less_error_is_expected_of_it(made):
    (before, expected_before), (after, expected_after) = (depths(made[name]) for name in ("before", "after"))
    assert np.median(after) < 0.5 * np.median(before)
    assert np.median(expected_after) < 0.7 * np.median(expected_before)
    assert 1 < expected_after.mean() / after.mean() < 4  # so smooth a bend is corrected better than a network's


def test_meta_and_report_say_what_was_done(made):
    assert [json.loads(made[name].meta.read_text())["steadied"] for name in ("before", "after")] == [
        None,
        "every frame",
    ]
    assert "steadied along the path: every frame" in made["after"].report.read_text()
