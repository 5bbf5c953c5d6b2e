"""What instruments, smoke, fluid, shutter, codec and second eye do to the phantom's frames, and what they leave."""

import functools

import jax
import numpy as np
import pytest
from scipy import ndimage

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_sequence
from endodav_jax.data.phantom.rods import distance
from endodav_jax.data.phantom.trace import points_at, pose_of_rays, rotate
from endodav_jax.data.sources.phantom import PhantomSource
from endodav_jax.errors import UserError
from endodav_jax.pretraining.scenes import PhantomScenes
from tests.data.phantom_clips import HEIGHT, LENGTH, WIDTH, camera_points, clip, pixel_grid, sample

OFF = 1e-6  # as a share: the switch is there, and no sequence has its luck
BASELINE_MM = 2.0
PARTS = {"tools": 2, "smoke": OFF, "fluid": OFF, "stereo": BASELINE_MM}


def quiet(**fields) -> PhantomConfig:
    """A lit tube without noise, drift or a round view."""
    still = {"noise": 0.0, "circular_view": 0.0, "exposure_drift": 0.0, "blur": False, "vignette": False}
    return PhantomConfig(**{"seed": 2, "height": HEIGHT, "width": WIDTH} | still | fields)


def switched(**fields) -> PhantomConfig:
    """The same from one program for every switch but shutter and codec; `fields` turn single ones on."""
    return quiet(**PARTS | fields)


@functools.cache
def with_instruments() -> int:
    """A sequence in whose first frames instruments are well in view."""
    shares = [clip(switched(), i)["tool"].mean() for i in range(8)]
    assert max(shares) > 0.02
    assert min(shares) == 0  # at most two is none in some
    return int(np.argmax(shares))


@pytest.mark.slow
def test_instruments_cover_tissue_and_leave_the_rest_of_the_depth_alone():
    number = with_instruments()
    without, views = clip(quiet(), number), clip(switched(), number)
    tool = views["tool"]
    assert not without["tool"].any()
    assert (views["depth_mm"][tool] < without["depth_mm"][tool]).all()
    np.testing.assert_allclose(views["depth_mm"][~tool], without["depth_mm"][~tool], rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(views["cam_from_world"], without["cam_from_world"], atol=1e-4)


@pytest.mark.slow
def test_depth_on_an_instrument_is_that_of_its_surface():
    number = with_instruments()
    scene, views = draw_scene(switched(), number), clip(switched(), number)

    @jax.jit
    def rods_in_frame(t, cam_from_world):
        world_from_cam, origin = pose_of_rays(cam_from_world)
        return scene.extras.instruments.rods(
            t, lambda places: scene.shape.clearance(points_at(origin, rotate(world_from_cam, places), 1.0))
        )

    for i in (0, LENGTH - 1):
        rods = [np.asarray(a) for a in rods_in_frame(np.float32(i), views["cam_from_world"][i])]
        points = camera_points(views["depth_mm"][i], views["intrinsics"][i])[views["tool"][i]]
        off = [
            np.asarray(distance(tuple(points.T), start, end)) - radius
            for start, end, radius in zip(*rods, strict=True)
            if radius
        ]
        assert np.abs(np.min(off, axis=0)).max() < 0.02


@pytest.mark.slow
def test_metal_is_greyer_than_tissue_and_shines_along_its_middle():
    views = clip(switched(), with_instruments())
    frames, tool = views["frame"].astype(float), views["tool"]
    saturation = np.ptp(frames, axis=-1) / (frames.max(-1) + 1)
    assert np.median(saturation[tool]) < 0.7 * np.median(saturation[~tool])
    depth_inside = np.stack([ndimage.distance_transform_edt(mask) for mask in tool])
    middle, flank = depth_inside > 0.6 * depth_inside.max(), tool & (depth_inside <= 1)
    assert frames[middle].mean() > 1.3 * frames[flank].mean()


@pytest.mark.slow
def test_instruments_darken_the_tissue_that_they_are_close_to():
    number = with_instruments()
    without, views = clip(quiet(), number), clip(switched(), number)
    ratio = np.log((views["frame"].mean(-1) + 2) / (without["frame"].mean(-1) + 2))
    away = np.stack([ndimage.distance_transform_edt(~mask) for mask in views["tool"]])
    near, far = (away > 0) & (away < 3), (away > 12) & np.isfinite(away)
    assert ratio[near].mean() < ratio[far].mean() - 0.02


@pytest.mark.slow
def test_smoke_veils_what_is_far_more_than_what_is_near():
    losses = []
    for number in range(4):
        clear, smoky = clip(switched(), number), clip(switched(smoke=1.0), number)
        np.testing.assert_array_equal(clear["depth_mm"], smoky["depth_mm"])
        np.testing.assert_array_equal(clear["tool"], smoky["tool"])
        edges = np.quantile(clear["depth_mm"], [0.3, 0.7])
        colour = [np.ptp(v["frame"].astype(float), axis=-1) / (v["frame"].max(-1) + 1.0) for v in (clear, smoky)]
        near, far = clear["depth_mm"] < edges[0], clear["depth_mm"] > edges[1]
        losses.append([colour[1][part].mean() / colour[0][part].mean() for part in (near, far)])
    kept_near, kept_far = np.mean(losses, 0)
    assert kept_far < 0.93 * kept_near
    assert kept_far < 0.9


@pytest.mark.slow
def test_smoke_comes_and_goes():
    changes = []
    for number in range(3):
        amounts = []
        for start in (0, 40, 80):
            clear, smoky = clip(switched(), number, start)["frame"], clip(switched(smoke=1.0), number, start)["frame"]
            amounts.append(np.abs(smoky.astype(float) - clear).mean())
        changes.append(max(amounts) / min(amounts))
    assert max(changes) > 1.5


@pytest.mark.slow
def test_fluid_disturbs_parts_of_the_picture_for_a_while():
    shares = []
    for number in range(4):
        for start in (0, 40, 80):
            dry, wet = clip(switched(), number, start), clip(switched(fluid=1.0), number, start)
            np.testing.assert_array_equal(dry["depth_mm"], wet["depth_mm"])
            shares.append((np.abs(wet["frame"].astype(float) - dry["frame"]).max(-1) > 8).mean())
    assert 0.02 < max(shares) < 0.95
    assert min(shares) < 0.3 * max(shares)


@pytest.mark.slow
def test_true_depth_warps_the_second_eye_onto_the_first():
    views = clip(PhantomConfig.ideal("colon", seed=2, height=HEIGHT, width=WIDTH, **PARTS), 1)
    x, y = pixel_grid()

    def error(baseline_mm: float) -> float:
        errors = []
        for left, right, depth, intrinsics in zip(
            views["frame"], views["right"], views["depth_mm"], views["intrinsics"], strict=True
        ):
            seen_at = x - intrinsics[0] * baseline_mm / depth
            inside = (seen_at >= 0) & (seen_at <= WIDTH - 1)
            errors.append(np.abs(sample(right.astype(float), seen_at, y) - left).mean(-1)[inside])
        return float(np.median(np.concatenate(errors)))

    assert error(BASELINE_MM) < 0.25 * error(0.0)
    assert error(BASELINE_MM) < 0.5 * min(error(0.8 * BASELINE_MM), error(1.2 * BASELINE_MM))
    assert "right" not in clip(quiet(), 0)


@pytest.mark.slow
def test_a_shutter_that_stays_open_longer_blurs_more():
    def roughness(share: float) -> float:
        views = clip(quiet(motion_blur=share, speed=(2.0, 3.0)), 1)
        np.testing.assert_allclose(views["depth_mm"], clip(quiet(speed=(2.0, 3.0)), 1)["depth_mm"], rtol=1e-3)
        return float(np.abs(np.diff(views["frame"].astype(float), axis=2)).mean())

    flash, short, long = roughness(0.0), roughness(0.4), roughness(1.0)
    assert long < 0.97 * short < 0.97 * flash


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_codec_changes_the_pictures_and_nothing_else(codec):
    clean = list(render_sequence(quiet(frames=10), 0))
    good, bad = (list(render_sequence(quiet(frames=10, codec=codec, codec_quality=q), 0)) for q in (90, 20))
    assert [record["frame_index"] for record in good] == list(range(10))

    def loss(records):
        return np.mean(
            [np.abs(a["frame"].astype(float) - b["frame"]).mean() for a, b in zip(records, clean, strict=True)]
        )

    assert 0 < loss(good) < 0.7 * loss(bad)
    assert loss(good) < 8
    for name in set(clean[0]) - {"frame"}:
        for a, b in zip(clean, bad, strict=True):
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    tail = list(render_sequence(quiet(frames=10, codec=codec, codec_quality=90), 0, start=7))
    assert len(tail) == 3
    for a, b in zip(good[7:], tail, strict=True):
        np.testing.assert_array_equal(a["frame"], b["frame"])


def test_single_scenes_refuse_a_codec():
    with pytest.raises(UserError, match=r"data.phantom.codec: 'h264'"):
        PhantomScenes(quiet(codec="h264"), consecutive=True)


def test_a_clean_scene_holds_nothing_of_the_switches():
    assert jax.tree.leaves(draw_scene(quiet(), 0).extras) == []
    clean, harder = draw_scene(quiet(), 0), draw_scene(switched(smoke=1.0), 0)
    for name in ("shape", "surface", "lens", "path", "light", "sensor", "tool"):
        for a, b in zip(jax.tree.leaves(getattr(clean, name)), jax.tree.leaves(getattr(harder, name)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_every_third_frame_is_what_every_frame_holds():
    all_of_them, third = (list(render_sequence(quiet(frames=n, every=every), 0)) for n, every in ((7, 1), (3, 3)))
    for number, record in enumerate(third):
        assert record["frame_index"] == number
        for name in ("frame", "depth_mm", "cam_from_world"):
            np.testing.assert_array_equal(record[name], all_of_them[3 * number][name])


def test_sequences_to_measure_on_record_every_frame_at_a_length_of_their_own():
    source = PhantomSource(
        "colon", sequences=1, held_out=1, frames=2, every=4, held_out_frames=3, height=HEIGHT, width=WIDTH
    )
    trained, tested = (
        [frame.cam_from_world for frame in source.read(source.sequences(split)[0])] for split in ("train", "test")
    )
    whole = render_sequence(PhantomConfig.colon(sequences=1, frames=5, height=HEIGHT, width=WIDTH), 0)
    path = [record["cam_from_world"] for record in whole]
    np.testing.assert_array_equal(trained, path[::4])
    assert len(tested) == 3
    step_trained, step_tested = (np.linalg.norm((a @ np.linalg.inv(b))[:3, 3]) for b, a in (trained[:2], tested[:2]))
    assert step_trained > 2 * step_tested


def test_noise_is_as_strong_as_a_source_is_asked_for():
    def grain(noise: float) -> float:
        source = PhantomSource("colon", sequences=1, frames=1, height=HEIGHT, width=WIDTH, noise=noise)
        (frame,) = source.read(source.sequences("train")[0])
        grey = frame.frame.astype(np.float32).mean(-1)
        return float(np.abs(np.diff(grey, axis=1)).mean())

    assert grain(0.0) < grain(0.8) < grain(16.0) - 2.0


@pytest.mark.parametrize("option", ["held_out", "held_out_frames"])
def test_too_few_sequences_or_frames_to_measure_on_are_named(option):
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} -3 must not be negative; 0 is"):
        PhantomSource("colon", **{option: -3})


def test_a_source_of_a_size_that_is_no_multiple_of_8_is_refused():
    with pytest.raises(UserError, match="--width 75 must be a multiple of 8"):
        PhantomSource("organ", height=64, width=75)


def test_a_switch_that_is_off_is_not_in_the_name_of_a_cache():
    assert "smoke" not in repr(PhantomConfig.colon())
    assert "smoke=0.5" in repr(PhantomConfig.colon(smoke=0.5))
    assert repr(PhantomConfig(codec="h264")) != repr(PhantomConfig(codec="mjpeg"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", 9), ("tools", -1), ("smoke", 1.5), ("fluid", -0.1), ("motion_blur", 2.0), ("codec", "divx"),
        ("codec_quality", 0), ("every", 0), ("stereo", -1.0), ("stereo", 80.0),
    ],
)  # fmt: skip
def test_a_switch_out_of_range_names_its_field(field, value):
    with pytest.raises(ValueError, match=f"phantom.{field}"):
        PhantomConfig(**{field: value})
