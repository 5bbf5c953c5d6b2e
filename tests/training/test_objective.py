"""The objective with networks whose answers are given: what counts, what does not, and that nothing becomes NaN."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from endodav_jax.losses.projection import LEAST_RELIEF
from endodav_jax.training.depth_objective import depth_objective
from endodav_jax.training.flow_objective import flow_objective, registration_score
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.path_camera import PATH_CAMERA
from tests.training.given_networks import MOMENTUM, GivenNetworks

HEIGHT, WIDTH, LENGTH = 32, 40, 3
SIZE = (HEIGHT, WIDTH)
CONFIG = ObjectiveConfig(flow_depth_weight=1e-3, highlight_threshold=0.9)
GIVEN_CAMERA = dataclasses.replace(CONFIG, learn_intrinsics=False)
# Programs this small are compiled for longer than they run.
QUICKLY_COMPILED = {"xla_backend_optimization_level": 0}


def random_clips(clips=1, length=LENGTH, seed=0):
    """Smooth noise as frames; networks see frame i at brightness i."""
    noise = np.random.default_rng(seed).uniform(0.2, 0.8, (clips, length + 2, HEIGHT // 4, WIDTH // 4, 3))
    frames = jax.image.resize(jnp.asarray(noise, jnp.float32), (clips, length + 2, HEIGHT, WIDTH, 3), "linear")
    number = jnp.arange(length + 2, dtype=jnp.float32)[:, None, None, None]
    return {
        "frames": frames,
        "frames_augmented": jnp.broadcast_to(number, frames.shape),
        "view_mask": jnp.ones((clips, HEIGHT, WIDTH), bool),
        "intrinsics": jnp.tile(jnp.array([WIDTH, WIDTH, WIDTH / 2, HEIGHT / 2], jnp.float32), (clips, 1)),
    }


def split(networks, *trainable):
    """Returns graphdef, trainable and frozen parameters, and statistics."""
    graphdef, params, statistics = nnx.split(networks, nnx.Param, nnx.BatchStat)
    params = nnx.to_pure_dict(params)
    chosen = {name: params[name] for name in trainable}
    return graphdef, chosen, {k: v for k, v in params.items() if k not in chosen}, nnx.to_pure_dict(statistics)


@functools.cache
def compiled(objective, graphdef, config, axis_name, **kwargs):
    """What is given is data, so that most tests share one program."""
    bound = functools.partial(objective, graphdef=graphdef, config=config, axis_name=axis_name, **kwargs)
    return jax.jit(jax.value_and_grad(bound, has_aux=True), compiler_options=QUICKLY_COMPILED)


def flow_update(networks, batch, config=CONFIG, axis_name=None):
    graphdef, *state = split(networks, "flow")
    return compiled(flow_objective, graphdef, config, axis_name)(*state, batch)


def depth_update(networks, batch, config=CONFIG, axis_name=None, projection=True):
    graphdef, *state = split(networks, "depth", "pose", "intrinsics", "transform")
    return compiled(depth_objective, graphdef, config, axis_name, projection=projection)(*state, batch)


def all_finite(tree):
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


EXTREMES = {
    "zero motion": {},
    "zero disparity": {"disparity": 0.0, "translation": (0.1, 0, 0)},
    "points behind the camera": {"disparity": 1.0, "translation": (0, 0, -50.0)},
    "points in the camera's plane": {"disparity": 1.0, "translation": (0, 0, -0.1)},
    "flow out of the image": {"flow": (1e6, -1e6)},
    "saturated transform": {"transform": (1.0, -1.0, 0.0)},
}


@pytest.mark.parametrize("given", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("images", ["noise", "constant"])
@pytest.mark.slow
def test_losses_and_derivatives_stay_finite(given, images):
    batch = random_clips()
    if images == "constant":
        batch["frames"] = jnp.full_like(batch["frames"], 0.5)
    networks = GivenNetworks((LENGTH, *SIZE), **given)
    for (loss, aux), gradients in (flow_update(networks, batch), depth_update(networks, batch)):
        assert all_finite((loss, aux, gradients))


def test_nothing_in_view_is_no_loss_and_no_derivative():
    batch = random_clips()
    batch["view_mask"] = jnp.zeros_like(batch["view_mask"])
    networks = GivenNetworks((LENGTH, *SIZE), translation=(0.1, 0, 0), flow=(0, 1))
    for (loss, _), gradients in (flow_update(networks, batch), depth_update(networks, batch)):
        assert float(loss) == 0
        assert not any(bool(leaf.any()) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("hidden_by", ["view mask", "highlight threshold"])
def test_masked_pixels_change_no_loss(hidden_by):
    batch = random_clips()
    hidden = jnp.zeros(SIZE, bool).at[:9, 5:30].set(True)
    levels = (0.0, 1.0)
    if hidden_by == "view mask":
        batch["view_mask"] = batch["view_mask"] & ~hidden
    else:
        levels = (0.92, 1.0)
    # Nothing moves, so neighbours' pixels stay where they are.
    networks = GivenNetworks((LENGTH, *SIZE), transform=(0.1, 0.0, -0.1))
    losses = []
    for level in levels:
        batch["frames"] = jnp.where(hidden[..., None], level, batch["frames"])
        (_, flow_aux), _ = flow_update(networks, batch)
        (_, depth_aux), _ = depth_update(networks, batch)
        losses.append(flow_aux.losses | depth_aux.losses)
    for name, value in losses[0].items():
        np.testing.assert_allclose(value, losses[1][name], rtol=1e-6, atol=1e-9, err_msg=name)


MOTIONS = {
    "still": {"transform": (0.1, 0.0, -0.1)},
    "moving": {"translation": (0.03, 0.02, 0.01), "flow": (0.7, -1.3), "transform": (0.1, 0.0, -0.1)},
}
INSTRUMENT_DISPARITY = 0.2


def instrument_clip():
    """Random frames with an instrument, left out by masks of the frames: a block that moves two pixels a frame."""
    batch = random_clips()
    shown = np.zeros((1, LENGTH + 2, *SIZE), bool)
    for i in range(LENGTH + 2):
        shown[0, i, 6:18, 8 + 2 * i : 20 + 2 * i] = True
    return batch, jnp.asarray(shown)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.slow
def test_pixels_that_frames_masks_leave_out_are_exactly_absent(motion, masked):
    """Neither the instruments' colours nor their depths reach a loss or a derivative: every term, every scale."""
    batch, shown = instrument_clip()
    plain = batch["frames"]
    found = []
    for level, disparity in ((0.3, 0.03), (0.7, INSTRUMENT_DISPARITY)):
        disparities = jnp.where(shown[0, 1:-1], disparity, 0.05)
        networks = GivenNetworks((LENGTH, *SIZE), disparity=disparities, **MOTIONS[motion])
        batch["frames"] = jnp.where(shown[..., None], level, plain)
        if masked:
            batch["frame_mask"] = ~shown
        (_, flow_aux), flow_gradients = flow_update(networks, batch)
        (_, depth_aux), gradients = depth_update(networks, batch)
        gradients["depth"]["disparity"] = jnp.where(shown[0, 1:-1], 0, gradients["depth"]["disparity"])
        found.append((flow_aux.losses | depth_aux.losses, flow_gradients, gradients))
        if masked:
            assert not float(jnp.abs(depth_update(networks, batch)[1]["depth"]["disparity"][shown[0, 1:-1]]).max())
    changed = [name for name in found[0][0] if not np.array_equal(found[0][0][name], found[1][0][name])]
    if masked:
        assert changed == []
        jax.tree.map(np.testing.assert_array_equal, found[0][1:], found[1][1:])
    else:
        for term in ("loss_reprojection", "loss_depth_reproj", "loss_depth_flow", "loss_smooth"):
            assert f"loss/{term}/0" in changed
        assert "flow_phase/loss/0" in changed


def test_masks_that_leave_out_nothing_change_nothing():
    batch = random_clips()
    networks = GivenNetworks((LENGTH, *SIZE), **MOTIONS["moving"])
    plain = flow_update(networks, batch), depth_update(networks, batch)
    batch["frame_mask"] = jnp.ones(batch["frames"].shape[:-1], bool)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-9),
        plain,
        (flow_update(networks, batch), depth_update(networks, batch)),
    )


def plane_clip(disparity, shift):
    """A plane, parallel to the image, that moves left by `shift` pixels a frame; and the camera's translation."""
    depth = 1 / (1 / 150 + (1 / 0.1 - 1 / 150) * disparity)
    batch = random_clips()
    texture = np.random.default_rng(3).uniform(0.2, 0.8, (HEIGHT // 4, WIDTH, 3))
    texture = np.asarray(jax.image.resize(jnp.asarray(texture, jnp.float32), (HEIGHT, 4 * WIDTH, 3), "cubic"))
    batch["frames"] = jnp.stack([texture[:, 20 + i * shift :][:, :WIDTH] for i in range(LENGTH + 2)])[None]
    return batch, (-shift * depth / WIDTH, 0, 0)  # fx is WIDTH


def test_the_true_depth_of_a_moving_plane_explains_its_frames_best():
    batch, translation = plane_clip(disparity=0.05, shift=2)
    losses = {}
    for disparity in (0.025, 0.05, 0.1):
        networks = GivenNetworks((LENGTH, *SIZE), disparity=disparity, translation=translation)
        (_, aux), _ = depth_update(networks, batch)
        losses[disparity] = float(aux.losses["loss/loss_reprojection/0"])
    assert losses[0.05] < 0.2 * min(losses[0.025], losses[0.1])


def test_a_step_downhill_moves_depth_and_motion_towards_the_truth():
    batch, translation = plane_clip(disparity=0.05, shift=2)
    _, gradients = depth_update(GivenNetworks((LENGTH, *SIZE), disparity=0.045, translation=translation), batch)
    assert float(gradients["depth"]["disparity"].sum()) < 0  # more disparity: nearer
    shorter = tuple(0.9 * t for t in translation)
    _, gradients = depth_update(GivenNetworks((LENGTH, *SIZE), disparity=0.05, translation=shorter), batch)
    assert float(gradients["pose"]["translation"][0]) * translation[0] < 0


def test_the_true_flow_registers_best_and_scores_best():
    batch, _ = plane_clip(disparity=0.05, shift=2)
    graphdef = nnx.graphdef(GivenNetworks((LENGTH, *SIZE)))
    scored = jax.jit(lambda state, batch: registration_score(nnx.merge(graphdef, state), batch, CONFIG))
    losses, scores = {}, {}
    for flow in (0.0, -2.0, 2.0):
        networks = GivenNetworks((LENGTH, *SIZE), flow=(0, flow))
        (losses[flow], _), _ = flow_update(networks, batch)
        scores[flow] = float(scored(nnx.state(networks), batch))
    assert min(losses, key=losses.get) == max(scores, key=scores.get) == -2.0
    assert scores[-2.0] > 0.9
    assert all(0 <= score <= 1 for score in scores.values())


def test_the_projection_loss_is_the_disagreement_of_neighbours():
    def error(disparities):
        networks = GivenNetworks((LENGTH, *SIZE), disparity=jnp.asarray(disparities)[:, None, None])
        (_, aux), _ = depth_update(networks, random_clips())
        return [float(aux.losses[f"loss/{part}/0"]) for part in ("loss_depth_reproj", "loss_depth_flow")]

    near, far = (1 / (1 / 150 + (10 - 1 / 150) * d) for d in (0.1, 0.05))
    np.testing.assert_allclose(error([0.1, 0.1, 0.1]), 0, atol=1e-8)
    expected = (far - near) / 2  # one of two pairs each way disagrees
    np.testing.assert_allclose(error([0.1, 0.1, 0.05]), [1e-2 * expected, 1e-3 * expected], rtol=1e-4)


@pytest.mark.slow
def test_projection_terms_belong_to_their_phase_and_to_clips_of_more_than_one_frame():
    networks = GivenNetworks((LENGTH, *SIZE), disparity=jnp.linspace(0.05, 0.1, WIDTH), flow=(0, 1))
    (_, on), _ = depth_update(networks, random_clips())
    (_, off), _ = depth_update(networks, random_clips(), GIVEN_CAMERA, projection=False)
    (_, single), _ = depth_update(networks, random_clips(clips=2, length=1))
    for scale in CONFIG.scales:
        for part in ("loss_depth_reproj", "loss_depth_flow"):
            name = f"loss/{part}/{scale}"
            assert float(on.losses[name]) > 0 == float(off.losses[name]) == float(single.losses[name])
    assert on.losses.keys() == off.losses.keys() == single.losses.keys()


CHOICES = dataclasses.replace(CONFIG, scales=(0,), projection_relative=True)


@pytest.mark.parametrize("given", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.slow
def test_with_every_choice_losses_and_derivatives_stay_finite(given):
    (loss, aux), gradients = depth_update(GivenNetworks((LENGTH, *SIZE), **given), random_clips(), CHOICES)
    assert all_finite((loss, aux, gradients))


def test_the_relative_projection_loss_is_the_same_at_every_scale_of_depth():
    def error(scale):
        depth = scale * np.array([1.0, 1.0, 1.2])
        disparity = (1 / depth - 1 / 150) / (1 / 0.1 - 1 / 150)
        networks = GivenNetworks((LENGTH, *SIZE), disparity=jnp.asarray(disparity)[:, None, None])
        (_, aux), _ = depth_update(networks, random_clips(), CHOICES)
        return float(aux.losses["loss/loss_depth_reproj/0"])

    # Each frame is a plane, whose relief counts as the least.
    expected = CONFIG.projection_weight * 0.2 / 2.2 / 2 / LEAST_RELIEF
    np.testing.assert_allclose([error(0.3), error(3.0)], expected, rtol=1e-4)


@pytest.mark.slow
def test_clips_of_a_batch_do_not_mix():
    networks = GivenNetworks((LENGTH, *SIZE), translation=(0.2, 0, 0), flow=(0, 1.5), transform=(0.1, 0, 0))
    both = random_clips(clips=2)
    alone = [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], both) for i in range(2)]
    for update in (flow_update, depth_update):
        # The flow is the same in all clips, so as many pixels are occluded and means can be averaged.
        expected = np.mean([float(update(networks, clip)[0][0]) for clip in alone])
        np.testing.assert_allclose(update(networks, both)[0][0], expected, rtol=1e-5)


@pytest.mark.slow
def test_devices_that_share_a_batch_average_to_the_whole():
    networks = GivenNetworks((LENGTH, *SIZE), translation=(0.2, 0, 0), flow=(0, 1.5), transform=(0.1, 0, 0))
    whole = random_clips(clips=2)
    whole["view_mask"] = whole["view_mask"].at[0, :20].set(False)  # devices count unlike numbers of pixels
    shards = jax.tree.map(lambda leaf: leaf[:, None], whole)
    for update in (flow_update, depth_update):
        (loss, aux), gradients = update(networks, whole)
        mapped = jax.vmap(functools.partial(update, networks, axis_name="data"), axis_name="data")
        (losses, shard_aux), shard_gradients = mapped(shards)
        np.testing.assert_allclose(losses.mean(), loss, rtol=1e-5)
        for name, value in aux.losses.items():
            np.testing.assert_allclose(shard_aux.losses[name].mean(), value, rtol=1e-5, atol=1e-9, err_msg=name)
        for mine, expected in zip(jax.tree.leaves(shard_gradients), jax.tree.leaves(gradients), strict=True):
            difference = np.asarray(mine.mean(0) - expected)
            assert np.linalg.norm(difference) < 1e-4 * max(np.linalg.norm(expected), 1e-6)


def test_statistics_move_once_a_pass_in_the_published_order():
    batch = random_clips()
    seen = np.asarray(batch["frames_augmented"])
    before, frame, after = (seen[:, part].mean() for part in (slice(0, -2), slice(1, -1), slice(2, None)))
    networks = GivenNetworks((LENGTH, *SIZE))
    (_, flow_aux), _ = flow_update(networks, batch)
    mean = 0.0
    for first, second in ((before, frame), (frame, before), (after, frame), (frame, after)):
        mean = (1 - MOMENTUM) * mean + MOMENTUM * (first + 10 * second)
    np.testing.assert_allclose(flow_aux.statistics["flow"]["mean"], mean, rtol=1e-5)
    assert float(flow_aux.statistics["transform"]["mean"]) == 0

    (_, depth_aux), _ = depth_update(networks, batch)
    frames = np.asarray(batch["frames"])
    mean = 0.0
    for neighbours in (frames[:, :-2], frames[:, 2:]):  # without flow, the registration is the neighbour itself
        mean = (1 - MOMENTUM) * mean + MOMENTUM * neighbours.mean()
    np.testing.assert_allclose(depth_aux.statistics["transform"]["mean"], mean, rtol=1e-5)
    assert float(depth_aux.statistics["flow"]["mean"]) == 0


def test_flow_and_occlusion_shared_between_frames_are_those_of_each_frame():
    networks = GivenNetworks((LENGTH, *SIZE), flow=(1, 3))
    (_, aux), _ = depth_update(networks, random_clips())
    flow, occlusion = aux.pictures.flow, aux.pictures.occlusion
    for direction, sign in enumerate((-1, 1)):
        np.testing.assert_allclose(flow[direction], sign * jnp.array([1.0, 3.0]) * jnp.ones_like(flow[direction]))
        # The backward flow moves neighbours' pixels the other way; what it leaves is occluded.
        empty = np.s_[:, :, -3:] if sign > 0 else np.s_[:, :, :3]
        np.testing.assert_array_equal(occlusion[direction][empty], 0)
        np.testing.assert_array_equal(occlusion[direction][:, 2:-2, 4:-4], 1)


@pytest.mark.slow
def test_intrinsics_are_learned_or_taken_from_the_batch():
    networks = GivenNetworks((LENGTH, *SIZE), translation=(0.2, 0, 0))
    batch = random_clips()
    batch["intrinsics"] = 2 * batch["intrinsics"]
    (_, learned), gradients = depth_update(networks, batch)
    np.testing.assert_allclose(learned.intrinsics, jnp.tile(batch["intrinsics"] / 2, (LENGTH, 1)))
    assert bool(gradients["intrinsics"]["intrinsics"].any())
    (_, given), gradients = depth_update(networks, batch, GIVEN_CAMERA, projection=False)
    np.testing.assert_allclose(given.intrinsics, jnp.tile(batch["intrinsics"], (LENGTH, 1)))
    assert not bool(gradients["intrinsics"]["intrinsics"].any())


@pytest.mark.slow
def test_recomputing_changes_neither_loss_nor_derivative():
    networks = GivenNetworks((LENGTH, *SIZE), translation=(0.2, 0, 0), flow=(0, 1.5), transform=(0.1, 0, 0))
    for update in (flow_update, depth_update):
        kept, again = (
            update(networks, random_clips(), dataclasses.replace(CONFIG, remat=remat)) for remat in (False, True)
        )
        for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_points_and_the_photometric_error_count_by_their_weights():
    def losses(weights):
        config = ObjectiveConfig(scales=(0,), camera="path", learn_intrinsics=False, **weights)
        graphdef, *state = split(networks, "depth", "pose", "intrinsics", "transform")
        (loss, aux), gradients = compiled(PATH_CAMERA.depth, graphdef, config, None, projection=True)(*state, batch)
        np.testing.assert_allclose(loss, sum(v for k, v in aux.losses.items() if k.startswith("loss/loss_")), rtol=1e-5)
        return aux.losses, float(jnp.abs(gradients["depth"]["disparity"]).max())

    networks = GivenNetworks((LENGTH, *SIZE), disparity=np.linspace(0.1, 0.9, WIDTH))
    log_depth = np.log(np.asarray(networks.depth.config.depth(networks.depth.disparity[...])))[0, 10]
    told = [[x, 10, log_depth[x] + (0.4 if x == 30 else 0.0), 5] for x in (5, 15, 30)]
    batch = random_clips() | {
        "path_pose": jnp.tile(jnp.eye(4), (1, LENGTH + 2, 1, 1)),
        "path_log_depth": jnp.zeros((1, LENGTH + 2)),
        "path_points": jnp.tile(jnp.asarray(told, jnp.float32), (1, LENGTH + 2, 1, 1)),
    }
    without, _ = losses({})
    assert "loss/loss_points/0" not in without
    both, _ = losses({"points_weight": 2.0})
    # One of three points is 0.4 off: by 0.4 * 2/3 itself and 0.4 / 3 for the others, from their common unit.
    np.testing.assert_allclose(both["loss/loss_points/0"], 2 * 0.4 * 4 / 9, rtol=1e-3)
    alone, slope = losses({"points_weight": 2.0, "photometric_weight": 0.0, "projection_weight": 0.0})
    assert float(alone["loss/loss_reprojection/0"]) == 0 < float(both["loss/loss_reprojection/0"])
    assert slope > 0


@pytest.mark.slow
def test_fewer_scales_are_fewer_terms():
    (loss, aux), _ = depth_update(GivenNetworks((LENGTH, *SIZE)), random_clips(), ObjectiveConfig(scales=(0, 2)))
    assert {name.split("/")[-1] for name in aux.losses if name != "loss"} == {"0", "2"}
    np.testing.assert_allclose(loss, (aux.losses["loss/0"] + aux.losses["loss/2"]) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": (1, 2)}, "ascend from 0"),
        ({"scales": (0, 2, 1)}, "ascend from 0"),
        ({"scales": (0, 4)}, "coarsest"),
        ({"ssim_weight": 1.5}, "fraction"),
        ({"projection_weight": -1.0}, "projection_weight"),
        ({"highlight_threshold": 2.0}, "highlight_threshold"),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**fields)
