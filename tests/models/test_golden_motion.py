"""The motion networks give the published programs' numbers, with running statistics and with the batch's."""

import jax
import numpy as np
import pytest
from flax import nnx

from endodav_jax.conversion.motion_names import MOTION_FILES, motion_params_from_torch
from endodav_jax.models.flow import FlowNet, TransformNet
from endodav_jax.models.layers import Numerics
from endodav_jax.models.pose import IntrinsicsHead, PoseNet
from tests.golden_cases import relative_error

pytestmark = pytest.mark.golden

FORWARD = 1e-4  # of the largest value
STATISTICS = 1e-5


@pytest.fixture(scope="module")
def params(golden) -> dict:
    trees: dict = {}
    for file in MOTION_FILES:
        for network, tree in motion_params_from_torch(file, golden.state_dict(file), file).items():
            trees.setdefault(network, {}).update(tree)
    return trees


@pytest.fixture(scope="module")
def case(golden) -> dict[str, np.ndarray]:
    return golden.arrays("motion_networks")


def _network(kind, params: dict):
    graphdef = nnx.graphdef(nnx.eval_shape(lambda: kind(nnx.Rngs(0), numerics=Numerics.of("float32"))))
    return nnx.merge(graphdef, jax.tree.map(jax.numpy.asarray, params))


def _every_kept_channel(features, expected):
    return np.asarray(features)[..., :: features.shape[-1] // expected.shape[-1]]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_pose_and_intrinsics_are_the_published_ones(params, case, mode):
    pose = _network(PoseNet, params["pose"])
    train = mode == "train"
    first, second = case["image_a"], case["image_b"]

    features = _network(PoseNet, params["pose"]).encoder(np.concatenate([first, second], -1), train)
    for level, feature in enumerate(features):
        expected = case[f"{mode}_resnet_{level}"]
        assert relative_error(_every_kept_channel(feature, expected), expected) < FORWARD

    motion = pose(first, second, train)
    assert relative_error(motion.axis_angle, case[f"{mode}_axisangle"][:, 0, 0]) < FORWARD
    assert relative_error(motion.translation, case[f"{mode}_translation"][:, 0, 0]) < FORWARD

    head = nnx.merge(nnx.graphdef(nnx.eval_shape(lambda: IntrinsicsHead(nnx.Rngs(0)))), params["intrinsics"])
    matrix = case[f"{mode}_intrinsics"]
    expected = np.stack([matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2]], -1)
    assert relative_error(head(motion.features, *first.shape[1:3]), expected) < FORWARD


def test_one_training_pass_moves_the_running_statistics_as_published(params, case):
    encoder = _network(PoseNet, params["pose"]).encoder
    encoder(np.concatenate([case["image_a"], case["image_b"]], -1), True)
    assert relative_error(encoder.stem.norm.mean[...], case["bn1_running_mean_after"]) < STATISTICS
    assert relative_error(encoder.stem.norm.var[...], case["bn1_running_var_after"]) < STATISTICS
    deepest = encoder.stages[-1][-1].steps[-1].norm
    assert relative_error(deepest.var[...], case["layer4_bn2_running_var_after"]) < STATISTICS


@pytest.mark.slow
def test_flow_and_transform_are_the_published_ones_at_every_scale(params, case):
    for name, kind in (("flow", FlowNet), ("transform", TransformNet)):
        maps = _network(kind, params[name])(case["image_a"], case["image_b"], False)
        for scale, values in enumerate(maps):
            assert relative_error(values, case[f"{name}_{scale}"]) < FORWARD
