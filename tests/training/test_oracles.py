"""Objectives that are told the truth: they find it, and hold depth to its scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.training import oracles
from endodav_jax.training.objective_config import ObjectiveConfig
from tests.training.given_networks import GivenNetworks

HEIGHT, WIDTH, LENGTH = 24, 32, 2
CONFIG = ObjectiveConfig(scales=(0,), learn_intrinsics=False, remat=False)
STEP_MM = 2.0


def world() -> tuple[np.ndarray, np.ndarray]:
    """Frames [L,H,W,3] and depth [L,H,W] in mm of a slanted, textured plane that a camera slides along in x."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    frames, depths = [], []
    for number in range(LENGTH + 2):
        # z = 40 + 0.8 X, X = (x - cx) z / f + slid:  solved for z.
        across = (x - WIDTH / 2) / WIDTH
        z = (40 + 0.8 * STEP_MM * number) / (1 - 0.8 * across)
        world_x = across * z + STEP_MM * number
        world_y = (y - HEIGHT / 2) / WIDTH * z
        waves = [np.sin(0.9 * world_x + phase) * np.cos(0.7 * world_y + phase) for phase in (0.0, 1.0, 2.0)]
        frames.append(0.5 + 0.4 * np.stack(waves, -1))
        depths.append(z)
    return np.stack(frames).astype(np.float32), np.stack(depths).astype(np.float32)


@pytest.fixture(scope="module")
def batch():
    frames, depth = world()
    poses = np.tile(np.eye(4, dtype=np.float32), (LENGTH + 2, 1, 1))
    poses[:, 0, 3] = -STEP_MM * np.arange(LENGTH + 2)
    return {
        "frames": jnp.asarray(frames)[None],
        "frames_augmented": jnp.asarray(frames)[None],
        "view_mask": jnp.ones((1, HEIGHT, WIDTH), bool),
        "intrinsics": jnp.array([[WIDTH, WIDTH, WIDTH / 2, HEIGHT / 2]], jnp.float32),
        "depth_mm": jnp.asarray(depth)[None],
        "cam_from_world": jnp.asarray(poses)[None],
    }


def disparity_of(depth):
    """What a network says for a depth: 1 / depth = 1 / 150 + (1 / 0.1 - 1 / 150) disparity."""
    return (1 / depth - 1 / 150) / (1 / 0.1 - 1 / 150)


def update(batch, depth, of=oracles.true_view_objective):
    """Loss, aux and gradient of an objective where the network says `depth` [T,H,W]."""
    networks = GivenNetworks((LENGTH, HEIGHT, WIDTH), disparity=disparity_of(depth))
    graphdef, params, statistics = nnx.split(networks, nnx.Param, nnx.BatchStat)
    params, statistics = nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)
    trained, others = {"depth": params.pop("depth")}, params

    def objective(trained):
        return of(trained, others, statistics, batch, graphdef=graphdef, config=CONFIG, projection=False)

    (loss, aux), gradient = jax.jit(jax.value_and_grad(objective, has_aux=True))(trained)
    return float(loss), aux, gradient["depth"]["disparity"]


def test_true_motion_is_that_of_the_poses(batch):
    motion = oracles.true_motion(batch)
    np.testing.assert_allclose(motion[:, :, 0, 3], [[STEP_MM] * LENGTH, [-STEP_MM] * LENGTH], atol=1e-5)
    depth = batch["depth_mm"][0, 1:-1]
    _, there = reproject(depth, jnp.repeat(batch["intrinsics"], LENGTH, 0), motion[0])
    np.testing.assert_allclose(there, depth, rtol=1e-5)  # it slid along the image plane


def test_depth_is_brought_to_the_truth_s_scale_clip_by_clip(batch):
    depth = batch["depth_mm"][0, 1:-1]
    np.testing.assert_allclose(oracles.scale_to_truth(depth / 7, batch)[:, 0, 0], [7, 7], rtol=1e-5)
    half = batch | {"depth_mm": batch["depth_mm"].at[..., : WIDTH // 2].set(0)}  # unknown counts in nothing
    np.testing.assert_allclose(oracles.scale_to_truth(depth / 7, half)[:, 0, 0], [7, 7], rtol=1e-5)


def test_the_true_camera_has_the_unit_of_the_predicted_depth(batch):
    depth = batch["depth_mm"][0, 1:-1]
    motion, _ = oracles.true_camera(None, None, batch, depth / 7, CONFIG)
    np.testing.assert_allclose(motion[0, :, 0, 3], STEP_MM / 7, rtol=1e-5)
    turned = rigid_from_axis_angle(jnp.array([[0.0, 0.1, 0.0]]), jnp.zeros((1, 3)))[0]
    poses = batch["cam_from_world"].at[:, 2].set(turned @ batch["cam_from_world"][0, 2])
    motion, _ = oracles.true_camera(None, None, batch | {"cam_from_world": poses}, depth / 7, CONFIG)
    rotation = np.asarray(motion[1, 0, :3, :3])
    np.testing.assert_allclose(rotation, turned[:3, :3], atol=1e-6)


def test_what_leaves_the_neighbour_s_view_is_not_visible_and_nor_is_what_something_hides(batch):
    visible = np.asarray(oracles.truly_visible(batch))
    assert visible[:, :, 2:-2, 6:-6].all()
    assert not visible[0, 0, :, -1].any()
    hidden = batch["depth_mm"].at[:, 0, 8:12, 8:12].set(10.0)  # something nearer in the first frame
    covered = np.asarray(oracles.truly_visible(batch | {"depth_mm": hidden}))
    assert not covered[0, 0, 9:11, 8:9].any()
    np.testing.assert_array_equal(covered[1], visible[1])


@pytest.mark.slow
def test_the_truth_has_a_smaller_error_than_a_plane_and_than_half_the_relief_at_any_scale(batch):
    truth = batch["depth_mm"][0, 1:-1] / 20
    middle = jnp.exp(jnp.log(truth).mean())
    errors = {share: update(batch, middle * (truth / middle) ** share)[0] for share in (1.0, 0.5, 0.0)}
    assert errors[1.0] < 0.5 * errors[0.5] < errors[0.0]
    assert update(batch, truth * 3)[0] == pytest.approx(errors[1.0], rel=0.05)


def test_the_gradient_goes_through_the_scale_so_that_nothing_pulls_on_it(batch):
    rng = np.random.default_rng(0)
    truth = np.asarray(batch["depth_mm"][0, 1:-1]) / 20
    wrong = jnp.asarray(truth * np.exp(rng.normal(0, 0.05, truth.shape)), jnp.float32)
    _, _, gradient = update(batch, wrong)
    # d loss / d log depth = - d loss / d disparity / (depth (1/min - 1/max)); along "all deeper" it is nothing.
    by_log_depth = np.asarray(gradient) / np.asarray(wrong)
    assert abs(by_log_depth.sum()) < 0.02 * np.abs(by_log_depth).sum()
    assert np.abs(by_log_depth).sum() > 0


def test_its_health_and_pictures_are_those_of_the_depth(batch):
    truth = batch["depth_mm"][0, 1:-1] / 20
    _, aux, _ = update(batch, truth)
    assert float(aux.health["health/median_depth"]) == pytest.approx(
        float(jnp.median(truth)), rel=0.05
    )  # every fourth pixel
    np.testing.assert_allclose(aux.pictures.depth, truth, rtol=1e-4)


def test_supervision_counts_the_error_of_log_depth_at_any_scale_where_depth_is_known(batch):
    truth = batch["depth_mm"][0, 1:-1] / 20
    bent = truth.at[:, :, : WIDTH // 2].multiply(1.1).at[:, :, WIDTH // 2 :].divide(1.1)
    for scale in (1, 3):
        assert update(batch, truth * scale, oracles.supervised_objective)[0] == pytest.approx(0, abs=1e-5)
        loss, aux, _ = update(batch, bent * scale, oracles.supervised_objective)
        assert loss == pytest.approx(np.log(1.1), rel=1e-3)
    assert float(aux.losses["loss/error_of_log_depth/0"]) == pytest.approx(loss)
    half = batch | {"depth_mm": batch["depth_mm"].at[..., : WIDTH // 2].set(0)}
    assert update(half, bent, oracles.supervised_objective)[0] == pytest.approx(0, abs=1e-5)
