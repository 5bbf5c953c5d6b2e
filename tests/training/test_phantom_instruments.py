"""The phantom's true instruments, left out by masks of the frames, are absent from every loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from tests.training.given_networks import GivenNetworks
from tests.training.test_objective import HEIGHT, LENGTH, SIZE, WIDTH, depth_update, flow_update, random_clips

pytestmark = pytest.mark.slow  # the renderer and the objective compile


@pytest.fixture(scope="module")
def views():
    """A clip in which an instrument is seen, and moves."""
    config = PhantomConfig.organ(seed=5, sequences=8, height=HEIGHT, width=WIDTH, tool=1.0, frames=200)
    for sequence in range(config.sequences):
        numbers = np.arange(0, 20 * (LENGTH + 2), 20, dtype=np.int32)
        arrays = render_clip(draw_scene(config, sequence), numbers, height=HEIGHT, width=WIDTH)
        clip = {name: np.asarray(array) for name, array in arrays.items()}
        if (clip["tool"].mean((1, 2)) > 0.02).all() and (clip["tool"].std(0) > 0).any():
            return clip
    raise AssertionError("no instrument in any sequence")


def losses(views, tool_level, tool_depth_mm, masked):
    batch = random_clips()
    tool = views["tool"][None]
    frames = np.where(tool[..., None], tool_level, views["frame"][None] / 255).astype(np.float32)
    batch["frames"] = jnp.asarray(frames)
    if masked:
        batch["frame_mask"] = jnp.asarray(~tool)
    depth = np.where(views["tool"], tool_depth_mm, np.where(views["depth_mm"] > 0, views["depth_mm"], 100))[1:-1]
    disparity = (1 / depth - 1 / 150) / (1 / 0.1 - 1 / 150)
    networks = GivenNetworks((LENGTH, *SIZE), disparity=disparity, translation=(0.4, -0.2, 0.3), flow=(0.6, -0.8))
    (_, flow_aux), flow_gradients = flow_update(networks, batch)
    (_, depth_aux), gradients = depth_update(networks, batch)
    gradients["depth"]["disparity"] = jnp.where(views["tool"][1:-1], 0, gradients["depth"]["disparity"])
    return flow_aux.losses | depth_aux.losses, flow_gradients, gradients


def test_with_masks_instruments_reach_no_loss_and_without_they_do(views):
    one, other = (losses(views, level, depth, masked=True) for level, depth in ((0.1, 20.0), (0.9, 60.0)))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert float(one[0]["loss/loss_reprojection/0"]) > 0
    assert float(one[0]["loss/loss_depth_reproj/0"]) > 0
    one, other = (losses(views, level, depth, masked=False)[0] for level, depth in ((0.1, 20.0), (0.9, 60.0)))
    for term in ("loss/loss_reprojection/0", "loss/loss_depth_reproj/0", "flow_phase/loss/0"):
        assert float(one[term]) != float(other[term])
