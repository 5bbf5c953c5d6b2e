"""What the depth networks promise beyond their numbers: parts that make the whole, masks, precision, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import TypeCheckError

from endodav_jax.models import abstract_depth_model, build_depth_model, depth_model_with, merge_adapters
from endodav_jax.models.dpt import FrameFeatures
from endodav_jax.models.interface import FrameNetwork, WindowNetwork
from tests.golden_cases import relative_error
from tests.models.networks import ALL, MULTI, SHAPE, SSB, VDA, frames, random_params, run

SAME = 1e-5
BFLOAT16 = 0.05  # of the largest value, for random weights; measured 0.02 to 0.036
CLIPS = frames(2, 2)


def whole(model, clips):
    return model(clips)


def finest(model, clips):
    return model.disparity(clips)


def finest_in_view(model, clips, view_mask):
    return model.disparity(clips, view_mask)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_the_parts_of_a_networks_interface_make_its_whole_forward_pass(name):
    windows = ALL[name].family_entry.windows
    assert isinstance(abstract_depth_model(ALL[name]), WindowNetwork if windows else FrameNetwork)

    def every_way(model, clips):
        batch, length, *shape = clips.shape
        frames = clips.reshape(batch * length, *shape)
        if windows:
            features = model.encode(frames)
            parts = model.decode_tail(model.decode_coarse(features, length), features)
        else:
            parts = model.frame_disparity(frames)
        return model(clips), model.disparity(clips), parts.reshape(batch, length, *parts.shape[1:])

    pyramid, alone, parts = run(ALL[name], every_way, CLIPS)
    assert relative_error(alone, pyramid[0]) < SAME
    assert relative_error(parts, pyramid[0]) < SAME

    height, width = (16 * n for n in ALL[name].patch_grid) if ALL[name].head == "multi" else SHAPE
    for scale, disparity in enumerate(pyramid):
        assert disparity.shape == (2, 2, height // 2**scale, width // 2**scale)
        assert disparity.dtype == jnp.float32
        assert 0 <= float(disparity.min()) < float(disparity.max())
        if ALL[name].head == "multi":
            assert float(disparity.max()) < 1


def test_the_tail_can_be_run_on_any_frames_alone():
    def whole_and_part(model, images):
        features = model.encode(images)
        path = model.decode_coarse(features, 5)
        kept = jnp.array([4, 1])
        part = model.decode_tail(path[kept], jax.tree.map(lambda a: a[kept], features))
        return model.decode(features, 5)[0][kept], part

    expected, part = run(VDA, whole_and_part, frames(1, 5)[0])
    assert relative_error(part, expected) < SAME


def test_frames_of_a_window_see_one_another_and_no_other_window():
    changed = CLIPS.copy()
    changed[0, 1] = 0.5
    before, after = run(SSB, finest, CLIPS), run(SSB, finest, changed)
    assert relative_error(after[0, 0], before[0, 0]) > 100 * SAME
    assert relative_error(after[1], before[1]) < SAME


@pytest.mark.parametrize("name", ["ssb", "lora", "dvlora", "endodac"])
@pytest.mark.slow
def test_folding_adapters_into_kernels_changes_no_result(name):
    config, params = merge_adapters(ALL[name], random_params(ALL[name]))
    assert config.adapter == "none"
    assert relative_error(run(config, finest, CLIPS, params=params), run(ALL[name], finest, CLIPS)) < SAME


def test_what_lies_outside_the_view_changes_nothing():
    mask = np.zeros((2, *CLIPS.shape[2:4]), bool)
    mask[:, 8:52, 12:66] = True
    black = np.where(mask[:, None, ..., None], CLIPS, np.float32(0))
    masked = run(SSB, finest_in_view, CLIPS, mask)
    assert relative_error(run(SSB, finest_in_view, black, mask), masked) < SAME
    assert relative_error(masked, run(SSB, finest, black)) > 100 * SAME


def test_a_full_view_is_the_published_behaviour():
    mask = np.ones((2, *CLIPS.shape[2:4]), bool)
    assert relative_error(run(SSB, finest_in_view, CLIPS, mask), run(SSB, finest, CLIPS)) < SAME


@pytest.mark.parametrize("name", ["ssb", "endodac"])
@pytest.mark.slow
def test_bfloat16_stays_close_and_answers_in_float32(name):
    low = dataclasses.replace(ALL[name], precision="bfloat16")
    got = run(low, finest, CLIPS, params=random_params(ALL[name]))
    assert got.dtype == jnp.float32
    assert 1e-4 < relative_error(got, run(ALL[name], finest, CLIPS)) < BFLOAT16


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", ["ssb", "multi", "endodac"])
def test_recomputing_in_the_backward_pass_gives_the_same_gradients(name):
    def gradients(remat):
        def loss(params):
            return sum(jnp.square(d).sum() for d in depth_model_with(ALL[name], params, remat=remat)(CLIPS))

        return jax.jit(jax.grad(loss))(random_params(ALL[name]))

    plain, recomputed = gradients(False), gradients(True)
    norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(plain)))
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(recomputed), strict=True):
        assert np.isfinite(one).all()
        assert np.linalg.norm(np.ravel(one - other)) < 1e-5 * norm


@pytest.mark.slow
def test_a_new_network_starts_as_the_frozen_one_without_its_adapters():
    params = nnx.to_pure_dict(nnx.state(build_depth_model(SSB, nnx.Rngs(0))))
    _, plain = merge_adapters(SSB, params)
    for block, merged in zip(params["encoder"]["blocks"].values(), plain["encoder"]["blocks"].values(), strict=True):
        np.testing.assert_array_equal(block["mlp"]["fc1"]["kernel"], merged["mlp"]["fc1"]["kernel"])
    for module in params["head"]["motion_modules"].values():
        assert not np.any(module["proj_out"]["kernel"])


@pytest.mark.parametrize(("preset", "count"), [("vits", 29_035_137), ("vitb", 114_441_409), ("vitl", 384_390_337)])
def test_presets_have_the_published_number_of_parameters(preset, count):
    model = abstract_depth_model(dataclasses.replace(VDA, preset=preset))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == count


def test_the_small_preset_ships_in_float16_below_16_megabytes():
    model = abstract_depth_model(dataclasses.replace(SSB, preset="vitt"))
    assert 2 * sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model))) < 14e6


def test_frames_of_another_rank_are_refused_by_name():
    model = abstract_depth_model(MULTI)
    # The signature says so first while tests run, the network itself at all other times.
    with pytest.raises((ValueError, TypeCheckError), match=r"\[B,T,H,W,3\], got \(2, 60, 80, 3\)|B T H W 3"):
        model(CLIPS[0])
    with pytest.raises(ValueError, match="at most 32 frames"):
        model.decode(FrameFeatures(*[jnp.zeros((33, 1, 1, 1))] * 4), 33)
