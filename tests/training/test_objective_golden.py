"""The two updates against one update of the published program, in all four of its cases."""

import functools

import numpy as np
import pytest

from tests.golden_cases import GoldenCases, relative_error
from tests.training.golden_step import Step, load_start, run_step

# Each is a step of training to compile.
CASES = [f"{k}_{phase}" for k in ("learnedK", "givenK") for phase in ("temporal", "spatial")]

pytestmark = [pytest.mark.slow, pytest.mark.golden, pytest.mark.parametrize("case", CASES, scope="module")]

LOSS_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3  # of a gradient's norm


@pytest.fixture(scope="module")
def start(golden: GoldenCases):
    return load_start(golden)


@pytest.fixture(scope="module")
def step(start, case: str) -> Step:
    intrinsics, phase = case.split("_")
    return run_step(start, learn_intrinsics=intrinsics == "learnedK", phase=phase)


@pytest.fixture(scope="module")
def expected(golden: GoldenCases, case: str) -> dict[str, np.ndarray]:
    prefix = f"{case}/"
    return {
        name.removeprefix(prefix): value
        for name, value in golden.arrays("train_step").items()
        if name.startswith(prefix)
    }


def test_every_loss_of_every_scale_is_equal(step, expected):
    losses = step.flow_aux.losses | step.depth_aux.losses
    wanted = {name: float(value) for name, value in expected.items() if name.split("/")[0] in ("loss", "flow_phase")}
    assert losses.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(losses[name], value, rtol=LOSS_TOLERANCE, err_msg=name)


@pytest.mark.parametrize("update", ["flow", "depth_pose_transform"])
def test_exactly_the_trained_parameters_have_gradients_and_their_norms_are_equal(golden, step, case, update):
    norms = golden.json(f"train_step_grad_norms_{case}")[update]
    gradients = step.flow_gradients if update == "flow" else step.depth_gradients
    for name, norm in norms.items():
        np.testing.assert_allclose(np.linalg.norm(gradients[name]), norm, rtol=GRADIENT_TOLERANCE, err_msg=name)
    # Tensors that stand under a second name in the files are named once in the list of norms.
    others = [name for name in gradients.keys() - norms.keys() if not _is_alias(name)]
    assert [name for name in others if gradients[name].any()] == []


def test_gradients_are_equal(step, expected):
    wanted = _under(expected, "grad/")
    assert wanted
    for name, gradient in wanted.items():
        difference = step.depth_gradients[name].ravel() - gradient
        assert np.linalg.norm(difference) < GRADIENT_TOLERANCE * np.linalg.norm(gradient), name


def test_parameters_after_adam_are_equal(step, expected):
    for name, parameter in _under(expected, "after_adam/").items():
        difference = np.abs(step.params[name].ravel() - parameter)
        gradient = np.abs(expected[f"grad/{name}"])
        # Adam's first update is the gradient's sign: it says nothing where the gradient is within rounding of zero.
        certain = gradient > GRADIENT_TOLERANCE * np.linalg.norm(gradient)
        rounding = np.spacing(np.abs(parameter).max())
        assert difference[certain].max() < 1e-7 + 2 * rounding, name
        assert difference.max() < 2.1e-4, name


def test_batch_statistics_are_equal(step, expected):
    wanted = _under(expected, "bn_running_mean/")
    assert wanted
    for name, mean in wanted.items():
        file, layer = name.split(".")
        assert relative_error(step.statistics[f"{file}/encoder.{layer}.running_mean"], mean) < 1e-5, name


def test_depth_motion_and_intrinsics_are_equal(step, expected):
    aux = step.depth_aux
    assert relative_error(aux.pictures.depth, expected["depth_0"]) < 1e-4
    for motion, neighbour in zip(aux.neighbour_from_frame, ("-1", "1"), strict=True):
        assert relative_error(motion, expected[f"cam_T_cam_{neighbour}"]) < 1e-5
    if "intrinsics" in expected:
        matrix = expected["intrinsics"]
        vector = np.stack([matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 2], matrix[:, 1, 2]], -1)
        assert relative_error(aux.intrinsics, vector) < 1e-4


def test_pictures_are_equal(step, expected):
    if "warped_-1" not in expected:
        pytest.skip("the golden files hold pictures of one case only")
    pictures = step.depth_aux.pictures
    for i, neighbour in enumerate(("-1", "1")):
        for name in ("warped", "refined", "flow"):
            assert relative_error(getattr(pictures, name)[i], expected[f"{name}_{neighbour}"]) < 1e-4, name
        np.testing.assert_array_equal(pictures.occlusion[i], expected[f"occlusion_{neighbour}"])


@functools.cache
def _is_alias(name: str) -> bool:
    """Whether a tensor's name is a decoder's list's, which repeats what its table of layers names."""
    return name.split("/")[1].startswith(("net.", "decoder."))


def _under(expected: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in expected.items() if name.startswith(prefix)}
