"""What a person sees of a step, and mistakes found before anything is compiled."""

import dataclasses
import re

import numpy as np
import pytest

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import Config
from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.errors import UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.quickstart.run import quickstart
from endodav_jax.training import run
from endodav_jax.training.checks import check_config, check_frame_size
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.depth_objective import Pictures
from endodav_jax.training.loop import train
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule
from endodav_jax.training.pictures import flow_colours, panel
from tests.data.tiny_source import TinySource, prepare_tiny

ENDODAV = DepthModelConfig.endodav("vits")

PATH = TrainConfig(objective=ObjectiveConfig(camera="path", learn_intrinsics=False))
FLOW = TrainConfig(objective=ObjectiveConfig(camera="flow", learn_intrinsics=False))
GIVEN = TrainConfig(objective=ObjectiveConfig(learn_registration=False))


def nothing_moves(**phases) -> TrainConfig:
    """A training in which camera and registration are given, with such phases."""
    objective = dataclasses.replace(FLOW.objective, learn_registration=False)
    return TrainConfig(objective=objective, phases=PhaseSchedule(**phases))


def test_a_panel_shows_the_frame_and_what_both_neighbours_say():
    rng = np.random.default_rng(0)
    pictures = Pictures(
        frame=rng.random((32, 40, 3)),
        warped=rng.random((2, 32, 40, 3)),
        refined=rng.random((2, 32, 40, 3)),
        occlusion=np.ones((2, 32, 40)),
        disparity=rng.random((32, 40)).astype(np.float32),
        depth=rng.random((32, 40)),
        flow=rng.standard_normal((2, 32, 40, 2)),
    )
    image = panel(pictures)
    assert (image.shape, image.dtype) == ((96, 160, 3), np.uint8)
    np.testing.assert_array_equal(image[:32, :40], np.round(255 * pictures.frame).astype(np.uint8))
    assert image[32:64, 80:120].min() == 255  # seen by the neighbour everywhere


def test_opposite_flows_have_opposite_colours_and_no_flow_is_black():
    flow = np.zeros((1, 3, 2))
    flow[0, 0] = (0, 1)
    flow[0, 1] = (0, -1)
    right, left, none = flow_colours(flow)[0].astype(int)
    np.testing.assert_array_equal(right, (255, 0, 0))
    np.testing.assert_array_equal(left, (0, 255, 255))
    np.testing.assert_array_equal(none, (0, 0, 0))


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (Config(model=DepthModelConfig.vda("vits")), "config.model.family: vda has nothing to train"),
        (Config(model=ENDODAV), "config.data.path: names no data set"),
        (Config(model=ENDODAV, data=DataConfig(path="/nowhere")), "config.data.path: /nowhere does not exist"),
        (Config(model=ENDODAV, data=DataConfig(clip_length=33)), "config.data.clip_length: 33 frames"),
        (Config(model=DepthModelConfig.endodac("vits")), "config.data.clip_length: EndoDAC sees single frames"),
        (Config(model=ENDODAV, data=DataConfig(path="."), weights="/nowhere"), "config.weights: /nowhere does not"),
        (
            Config(model=ENDODAV, data=DataConfig(path=".", intrinsics="constant"), train=PATH, weights=SHIPPED),
            "config.data.intrinsics: the camera is solved (path)",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(path=".", intrinsics="constant"), train=FLOW),
            "config.data.intrinsics: the camera is solved (flow)",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(path=".", straddle_sequences=True), train=PATH, weights=SHIPPED),
            "config.data.straddle_sequences: no camera path leads from one sequence to the next",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(path="."), train=GIVEN),
            "config.weights: none given; with train.objective.learn_registration=False",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(path="."), train=nothing_moves(motion_steps=10), weights=SHIPPED),
            "config.train.phases.motion_steps: 10 steps would train nothing",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(path="."), train=nothing_moves(depth_interval=3), weights=SHIPPED),
            "config.train.phases.depth_interval: 3 steps would train nothing",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(phantom=PhantomData("organ", height=63))),
            "config.data.phantom.height: 63 must be a multiple of 32",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(phantom=PhantomData("organ", frames=1))),
            "config.data.phantom.frames: 1 a sequence are too few for clips of 16",
        ),
        (
            Config(model=ENDODAV, data=DataConfig(phantom=PhantomData("organ", frames=4), straddle_sequences=True)),
            "config.data.phantom.frames: 4 a sequence are too few for clips of 16",
        ),
        (Config(model=ENDODAV, data=DataConfig(path="."), train=PATH), "config.weights: none given; the camera's path"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_in_one_line(config, line):
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        check_config(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("camera", ["path", "flow", "pose"])
def test_a_guess_is_not_taken_for_the_camera(camera, tmp_path):
    objective = ObjectiveConfig(camera=camera, learn_intrinsics=False)
    config = Config(model=ENDODAV, train=TrainConfig(objective=objective), weights=SHIPPED)
    paths = {known: prepare_tiny(tmp_path / str(known), TinySource({"a": 3}, camera=known)) for known in (True, False)}
    known, guessed = (dataclasses.replace(config, data=DataConfig(path=str(paths[k]))) for k in (True, False))
    check_config(known)
    with pytest.raises(
        UserError, match=r"config\.data\.path: .*: the camera of a is not known.*--intrinsics"
    ) as caught:
        check_config(guessed)
    assert "\n" not in str(caught.value)
    learned = TrainConfig(objective=ObjectiveConfig(learn_intrinsics=True))
    check_config(dataclasses.replace(guessed, train=learned))
    check_config(dataclasses.replace(guessed, data=dataclasses.replace(guessed.data, intrinsics="guessed")))


def test_a_motion_phase_that_trains_the_registration_is_one():
    train = dataclasses.replace(FLOW, phases=PhaseSchedule(motion_steps=10))
    data = DataConfig(phantom=PhantomData("organ"))
    check_config(Config(model=ENDODAV, data=data, train=train))


@pytest.mark.parametrize("job", [run.train, quickstart])
def test_it_is_refused_before_its_phantom_is_rendered(job, tmp_path):
    data = DataConfig(clip_length=33, phantom=PhantomData(family="colon"))
    with pytest.raises(UserError, match="33 frames"):
        job(Config(model=ENDODAV, data=data, weights=SHIPPED), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("jax.device_count", lambda: 4)
    with pytest.raises(UserError, match=r"config.data.batch_size: 6 clips cannot be split over 4 devices"):
        train(Config(model=ENDODAV, data=DataConfig(path=".", batch_size=6)), tmp_path)


def test_frames_must_fit_the_motion_networks():
    check_frame_size(256, 320, (0, 1, 2, 3))
    with pytest.raises(UserError, match=r"frames of 250x320: the height must be a multiple of 32"):
        check_frame_size(250, 320, (0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "linear"}, "train.schedule: 'linear' is not one of step, constant, cosine"),
        ({"on_nan": "cry"}, "train.on_nan"),
        ({"resnet_layers": 20}, "train.resnet_layers: 20 is not one of 10, 18, 34, 50"),
        ({"epochs": 0}, "train.epochs"),
        ({"save_every": 0}, "train.save_every"),
        ({"ema_decay": 1.0}, "train.ema_decay"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        dataclasses.replace(TrainConfig(), **fields)
