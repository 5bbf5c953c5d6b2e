"""Frames of the project's own renderer through a fisheye, resampled, are those through the pinhole; and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene
from endodav_jax.data.phantom.render import render_frame
from endodav_jax.data.phantom.shapes import Points
from endodav_jax.data.phantom.trace import ray_directions
from endodav_jax.video.lenses import OpenCVLens, Pinhole
from endodav_jax.video.undistort import Undistorter

pytestmark = pytest.mark.slow  # the renderer compiles for each lens

HEIGHT, WIDTH = 96, 128
WIDEST = 1.4  # radians off the axis of the fisheye's rays
SIZE = HEIGHT, WIDTH


def fisheye_directions(intrinsics: jax.Array, height: int, width: int, cell: int = 1) -> Points:
    """`ray_directions` of an equidistant fisheye, whose angle off the axis grows with the radius: x / fx = theta.

    Rays beyond `WIDEST` are clamped to it; what they see does not count.
    """
    x, y, z = ray_directions(intrinsics, height, width, cell)
    angle = jnp.maximum(jnp.sqrt(x * x + y * y), 1e-9)
    stretch = jnp.tan(jnp.minimum(angle, WIDEST)) / angle
    return x * stretch, y * stretch, z


@pytest.fixture(scope="module")
def scene():
    config = PhantomConfig.ideal("organ", seed=3, sequences=1, height=HEIGHT, width=WIDTH, focal=(0.5, 0.5))
    return draw_scene(config, 0)


def rendered(scene, rays_of) -> dict[str, np.ndarray]:
    """Frame 0 through a lens."""
    found = jax.jit(lambda scene: render_frame(scene, np.int32(0), HEIGHT, WIDTH, rays_of))(scene)
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def fisheye(scene):
    return rendered(scene, fisheye_directions)


@pytest.fixture(scope="module")
def pinhole(scene):
    return rendered(scene, ray_directions)


@pytest.fixture(scope="module")
def undistorter(fisheye):
    lens = OpenCVLens(fisheye["intrinsics"].astype(np.float64), (0.0,) * 4, fisheye=True)
    return Undistorter.of(lens, SIZE)


def test_the_renderers_fisheye_is_opencvs(fisheye, undistorter):
    """Depth along each pixel's ray leads to the surface that the scene has there."""
    x, y, z = fisheye_directions(fisheye["intrinsics"], HEIGHT, WIDTH)
    rays = undistorter.lens.ray_grid(SIZE)
    np.testing.assert_allclose(np.stack([x, y, z], -1).reshape(*SIZE, 3), rays, atol=1e-4)
    # It is wide: this is no pinhole in disguise.
    assert np.abs(rays - Pinhole(undistorter.pinhole).ray_grid(SIZE)).max() > 0.4


def test_a_fisheyes_frame_undistorted_is_the_pinholes(fisheye, pinhole, undistorter):
    inside = undistorter.mask(None)
    assert inside.mean() > 0.95
    difference = np.abs(undistorter.image(fisheye["frame"]).astype(float) - pinhole["frame"])[inside]
    assert difference.mean() < 2.0
    # As it stands the fisheye's picture is another one.
    assert np.abs(fisheye["frame"].astype(float) - pinhole["frame"])[inside].mean() > 3 * difference.mean()


def test_depth_is_that_of_the_pinhole(fisheye, pinhole, undistorter):
    depth = undistorter.depth(fisheye["depth_mm"])
    both = undistorter.mask(fisheye["depth_mm"] > 0) & (pinhole["depth_mm"] > 0)
    relative = np.abs(depth - pinhole["depth_mm"])[both] / pinhole["depth_mm"][both]
    assert np.median(relative) < 0.01


def test_points_on_the_lenss_rays_are_on_the_true_surface(scene, fisheye, undistorter):
    depth, pose = fisheye["depth_mm"], fisheye["cam_from_world"].astype(np.float64)

    def off_surface(rays):
        points = (rays * depth[..., None])[depth > 0]
        world = (points - pose[:3, 3]) @ pose[:3, :3]
        return np.abs(np.asarray(scene.shape.field(tuple(world.astype(np.float32).T))))

    assert off_surface(undistorter.lens.ray_grid(SIZE)).max() < 0.05
    assert np.median(off_surface(Pinhole(undistorter.pinhole).ray_grid(SIZE))) > 1.0


def test_the_way_back_ends_where_it_began(fisheye, undistorter):
    there = undistorter.depth(fisheye["depth_mm"])
    back = undistorter.back(there)
    shown = undistorter.back(np.ones(SIZE, bool)) & (back > 0)
    assert shown.mean() > 0.5
    relative = np.abs(back - fisheye["depth_mm"])[shown] / fisheye["depth_mm"][shown]
    assert np.median(relative) < 0.01
    again = Undistorter.from_json(undistorter.to_json())
    np.testing.assert_array_equal(again.back(there), back)


def test_the_loss_of_view_is_counted(undistorter):
    shown = undistorter.back(np.ones(SIZE, bool))
    assert undistorter.lost(None) == pytest.approx(1 - shown.mean())
    assert undistorter.lost(shown) == 0
    lens, pinhole = undistorter.angles()
    # theta = x / f up to both edges, and the tangent's inverse of the same.
    assert lens == pytest.approx(np.degrees(127 / 64), abs=1)
    assert pinhole == pytest.approx(np.degrees(2 * np.arctan(63.5 / 64)), abs=1)
    assert f"{100 * undistorter.lost(None):.1f}% of the view" in undistorter.loss_line(None)
