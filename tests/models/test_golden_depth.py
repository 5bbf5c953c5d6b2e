"""The depth networks give the published programs' numbers."""

import functools

import jax
import numpy as np
import pytest

from endodav_jax.conversion.names import params_from_torch
from endodav_jax.models import DepthModelConfig, depth_model_with
from endodav_jax.models.depth_input import IMAGENET_DEVIATION, IMAGENET_MEAN
from tests.golden_cases import relative_error
from tests.models.networks import QUICK_TO_COMPILE

pytestmark = pytest.mark.golden

FORWARD = 1e-4  # of the largest value

ENDODAV_CASES = {
    "endodav_vits_ssb": {"preset": "vits"},
    "endodav_vits_lora": {"preset": "vits", "adapter": "lora"},
    "endodav_vits_dvlora": {"preset": "vits", "adapter": "dvlora"},
    "endodav_vits_ssb_multihead": {"preset": "vits", "head": "multi"},
    "endodav_vitb_ssb": {"preset": "vitb"},
}


def _params(golden, name: str, config: DepthModelConfig) -> dict:
    return params_from_torch(golden.state_dict(name), config, name)


def _assert_pyramid(golden, name: str, config: DepthModelConfig, case: dict[str, np.ndarray]) -> None:
    run = jax.jit(lambda params, frames: depth_model_with(config, params)(frames), compiler_options=QUICK_TO_COMPILE)
    for scale, disparity in enumerate(run(_params(golden, name, config), case["input"])):
        expected = case[f"disp_{scale}"]
        assert relative_error(disparity.reshape(expected.shape), expected) < FORWARD


@pytest.mark.parametrize("preset", ["vits", "vitb"])
def test_video_depth_anything_gives_the_published_tokens_and_disparity(golden, preset):
    case = golden.arrays(f"vda_{preset}")
    normalised = case["input"]
    config = DepthModelConfig.vda(preset, image_shape=normalised.shape[2:4])
    seen = case["tokens_0"].shape[0]

    @functools.partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
    def run(params, normalised):
        model = depth_model_with(config, params)
        maps = model.encoder(normalised[0, :seen], model.encoder.positions(config.patch_grid))
        return maps, model.disparity(normalised * IMAGENET_DEVIATION + IMAGENET_MEAN)

    maps, disparity = run(_params(golden, f"vda_{preset}", config), normalised)
    for i, tokens in enumerate(maps):
        expected = case[f"tokens_{i}"]
        assert relative_error(tokens.reshape(expected.shape), expected) < FORWARD
    assert relative_error(disparity.reshape(case["disparity"].shape), case["disparity"]) < FORWARD


@pytest.mark.parametrize("name", ENDODAV_CASES)
@pytest.mark.slow
def test_endodav_gives_the_published_disparity_pyramid(golden, name):
    case = golden.arrays(name)
    config = DepthModelConfig.endodav(**ENDODAV_CASES[name], image_shape=tuple(case["image_shape"].tolist()))
    _assert_pyramid(golden, name, config, case)


@pytest.mark.parametrize("preset", ["vits", "vitb"])
@pytest.mark.slow
def test_endodac_gives_the_published_disparity_pyramid(golden, preset):
    case = golden.arrays(f"endodac_{preset}")
    config = DepthModelConfig.endodac(preset, image_shape=tuple(case["image_shape"].tolist()))
    _assert_pyramid(golden, f"endodac_{preset}", config, case)
