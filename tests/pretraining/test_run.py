"""What pretraining writes about itself, its learning rates, and how it goes on."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.checkpoints.shipped import SHIPPED, WITHOUT_WEIGHTS, load_shipped
from endodav_jax.config import Config
from endodav_jax.errors import UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining import loop
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.run import held_out_errors, loss_curves, pretrain
from endodav_jax.pretraining.step import pretrain_step
from endodav_jax.training.logs import RunLog
from endodav_jax.training.partition import flatten
from endodav_jax.training.run_checkpoint import RunCheckpoints, open_run

SHAPE = (28, 42)
SHORT = PretrainConfig(
    scenes=2, frames_per_scene=1, frame_height=32, frame_width=40, scenes_per_step=2, clips=1, clip_length=2,
    motion_clips=1, image_steps=4, clip_steps=0, flow_steps=0, camera_steps=0, save_every=2, warm_up_steps=2,
    image_learning_rate=1e-3, log_every=1,
)  # fmt: skip


def test_a_stage_cut_short_has_the_same_learning_rates_until_it_decays():
    config = dataclasses.replace(SHORT, image_steps=1000, warm_up_steps=10, decay_share=0.25)
    short, cut = (loop.stages_of(dataclasses.replace(config, image_steps=steps), SHAPE)[0] for steps in (1000, 400))
    rates = [loop.learning_rate(short, config, number) for number in range(1, 1001)]
    assert rates[:10] == pytest.approx([1e-4 * number for number in range(1, 11)])
    assert set(rates[10:750]) == {1e-3}
    assert rates[750:] == sorted(rates[750:], reverse=True)
    assert rates[-1] == pytest.approx(1e-3 / 50, rel=0.25)
    assert [loop.learning_rate(cut, config, number) for number in range(1, 301)] == rates[:300]
    shortest = loop.stages_of(dataclasses.replace(config, image_steps=12), SHAPE)[0]  # fewer than two warm-ups
    assert loop.learning_rate(shortest, config, 3) == 0.5e-3 > rates[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", [SHIPPED, WITHOUT_WEIGHTS])
def test_packed_networks_are_gone_on_from_and_kept_where_stages_have_no_steps(tmp_path, name):
    config, packed, _ = load_shipped(name)
    kept = loop.pretrain(config, dataclasses.replace(SHORT, image_steps=0), 0, tmp_path, start=packed)
    assert flatten(kept).keys() == flatten(packed).keys()
    for path, leaf in flatten(packed).items():
        np.testing.assert_array_equal(flatten(kept)[path], leaf, err_msg=str(path))
    with pytest.raises(UserError, match=r"^config\.weights: .* does not fit the network of config\.model$"):
        loop.pretrain(dataclasses.replace(config, preset="vits"), SHORT, 0, tmp_path, start=packed)


@pytest.mark.slow
def test_a_stage_that_goes_on_is_not_compiled_again(tmp_path, monkeypatch):
    model = DepthModelConfig.vda("vitt", image_shape=SHAPE)
    made = loop.scene_batches

    class Interrupted(Exception):
        pass

    class TwoBatches:
        def __init__(self, *arguments, **options):
            self._batches, self._left = made(*arguments, **options), 2

        def __next__(self):
            if not self._left:
                raise Interrupted
            self._left -= 1
            return next(self._batches)

        def close(self):
            self._batches.close()

    monkeypatch.setattr(loop, "scene_batches", TwoBatches)
    with pytest.raises(Interrupted):
        loop.pretrain(model, SHORT, 0, tmp_path)
    compiled = pretrain_step._cache_size()
    monkeypatch.setattr(loop, "scene_batches", made)
    loop.pretrain(model, SHORT, 0, tmp_path)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    assert pretrain_step._cache_size() == compiled


class Batches:
    """Batches that nobody looks at."""

    closed = False

    def __next__(self):
        return {}

    def close(self):
        self.closed = True


@pytest.fixture
def run_stage(tmp_path, monkeypatch):
    """Runs a stage of a few steps that count, or goes on with it; returns how many it has counted."""
    monkeypatch.setattr(loop, "scene_batches", lambda *arguments, **options: Batches())

    def step(state, batch, rate):
        return {"steps": state["steps"] + 1}, {"loss": jnp.float32(1)}

    def run(name="image", seed=0, weights="", width=1, image_shape=SHAPE, **fields) -> int:
        config = dataclasses.replace(SHORT, clip_steps=4, flow_steps=4, camera_steps=4, **fields)
        model = DepthModelConfig.vda("vitt", image_shape=image_shape)
        stage = next(stage for stage in loop.stages_of(config, SHAPE) if stage.name == name)
        settings = {"seed": seed, "model": dataclasses.asdict(model), "pretrain": dataclasses.asdict(config)}
        with RunLog(tmp_path) as log:
            state = loop._run_stage(
                stage, {"steps": jnp.zeros(width)}, step, config=config, settings=settings, workdir=tmp_path, log=log,
                frozen_sha256=weights,
            )  # fmt: skip
        return int(state["steps"][0])

    return run


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("image", {"image_learning_rate": 2e-3}, "config.pretrain.image_learning_rate: was 0.001, now 0.002"),
        ("image", {"seed": 1}, "config.seed: was 0, now 1"),
        ("image", {"families": (("things", 1.0),)}, "config.pretrain.families"),
        ("image", {"decay_share": 0.5}, "config.pretrain.decay_share"),
        ("clip", {"image_shape": (42, 42)}, "config.model.image_shape"),
        ("flow", {"motion_clips": 9}, "config.pretrain.motion_clips"),
    ],
)
def test_a_stage_does_not_go_on_with_another_configuration_unless_that_is_allowed(
    run_stage, capsys, name, fields, field
):
    assert run_stage(name) == 4
    with pytest.raises(UserError, match=field.split(":")[0]) as caught:
        run_stage(name, **fields)
    assert "\n" not in str(caught.value)
    assert f"{name}_stage" in str(caught.value)
    assert "--config.pretrain.allow_changes=True" in str(caught.value)
    assert field in capsys.readouterr().err
    assert run_stage(name, **fields, allow_changes=True) == 4


@pytest.mark.parametrize(
    ("name", "fields", "steps"),
    [
        ("image", {"image_steps": 6}, 6),
        ("image", {"image_steps": 2}, 4),
        ("image", {"log_every": 3, "save_every": 1, "picture_every": 9, "workers": 1, "cache": "scenes"}, 4),
        ("image", {"coarse_output": True}, 4),
        ("image", {"clip_learning_rate": 1.0, "motion_clips": 9, "resnet_layers": 18, "temporal_weight": 0.0}, 4),
        ("clip", {"scenes": 9, "least_crop": 1.0}, 4),
        ("camera", {"image_shape": (42, 42), "ema_decay": 0.5}, 4),
    ],
)
def test_a_stage_may_be_longer_or_shorter_and_what_it_does_not_use_may_change(run_stage, name, fields, steps):
    assert run_stage(name) == 4
    assert run_stage(name, **fields) == steps


def test_fields_that_may_change_are_those_of_the_configuration():
    fields = {f"pretrain.{field.name}" for field in dataclasses.fields(PretrainConfig)} | {"model."}
    for stage in ("image", "clip", "flow", "camera"):
        assert set(loop._free_for(stage)) <= fields


def test_a_stage_does_not_go_on_with_other_frozen_weights_or_arrays_whatever_is_allowed(run_stage):
    assert run_stage("clip", weights="abc") == 4
    with pytest.raises(UserError, match=r"clip_stage.*other frozen weights.*move clip_stage away"):
        run_stage("clip", weights="def", allow_changes=True)
    with pytest.raises(UserError, match=r"steps'\] has shape \(1,\), and here \(2,\)"):
        run_stage("clip", weights="abc", width=2, allow_changes=True)


def test_a_checkpoint_that_says_nothing_of_its_configuration_goes_on(run_stage, monkeypatch):
    save = RunCheckpoints.save
    monkeypatch.setattr(RunCheckpoints, "save", lambda self, step, state, record: save(self, step, state, {}))
    assert run_stage() == 4
    assert run_stage(image_learning_rate=2e-3, image_steps=5) == 5


def test_frozen_weights_of_a_stage_are_those_that_it_uses_and_does_not_train():
    weights = {"encoder.w": jnp.ones(3), "head.w": jnp.ones(2), "head.motion_modules.w": jnp.ones(1)}
    image, clip, *_ = loop.stages_of(SHORT, SHAPE)
    digest = loop.digest_of_frozen(clip, weights)
    assert (
        loop.digest_of_frozen(clip, weights | {"head.w": jnp.zeros(2), "head.motion_modules.w": jnp.zeros(1)}) == digest
    )
    assert loop.digest_of_frozen(clip, weights | {"encoder.w": jnp.zeros(3)}) != digest
    assert loop.digest_of_frozen(image, weights) == loop.digest_of_frozen(image, {})


def test_a_log_whose_last_line_was_cut_off_is_read_without_it(tmp_path):
    lines = [{"step": 20, "kind": "image", "loss": 2.0}, {"step": 20, "kind": "image_held_out", "colon": 0.12345}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 40, "ki')
    assert loss_curves(tmp_path) == {"image": [(20, 2.0)]}
    assert held_out_errors(tmp_path) == {"image": {"step": 20, "colon": 0.1235}}


def test_loss_curves_are_means_of_what_was_logged_last(tmp_path):
    lines = [{"step": step, "kind": "image", "loss": 100.0} for step in (20, 40)]
    lines += [{"step": step, "kind": "image", "loss": float(step)} for step in range(20, 1001, 20)]
    lines += [{"step": 20, "kind": "clip", "loss": 0.5, "gradient": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    curves = loss_curves(tmp_path)
    assert curves["clip"] == [(20, 0.5)]
    assert len(curves["image"]) == 20
    assert curves["image"][0] == (60, 40.0)  # steps 20, 40 and 60, as the second run logged them
    assert curves["image"][-1][0] == 1000


@pytest.mark.parametrize("what", ["loss", "steps"])
def test_what_is_not_finite_is_never_saved(tmp_path, monkeypatch, what):
    batches = Batches()
    monkeypatch.setattr(loop, "scene_batches", lambda *_, **__: batches)
    config = dataclasses.replace(SHORT, log_every=3, save_every=2)
    stage = loop.stages_of(config, SHAPE)[0]
    bad = jnp.float32(np.nan)

    def step(state, batch, rate):
        return ({"steps": bad} if what == "steps" else state), {"loss": bad if what == "loss" else jnp.float32(1)}

    with RunLog(tmp_path) as log, pytest.raises(UserError, match="the loss or a weight is not finite") as caught:
        loop._run_stage(
            stage, {"steps": jnp.zeros(())}, step, config=config, settings={"seed": 0}, workdir=tmp_path, log=log
        )
    assert f"step {3 if what == 'loss' else 2}" in str(caught.value)
    with open_run(tmp_path / f"{stage.name}_stage") as checkpoints:
        restored = checkpoints.restore({"steps": np.zeros((), np.float32)}, lambda *_: None)
    assert (restored is None) == (what == "steps")
    assert restored is None or restored[0] == 2
    assert batches.closed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames_per_scene": 500}, "pretrain.frames_per_scene: 500 must be at most the 400 of a path"),
        ({"data_seed": 2**29}, "pretrain.data_seed: 536870912 must be below 536870912"),
    ],
)
def test_a_section_that_cannot_be_trained_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig(**fields)


@pytest.mark.parametrize("model", [DepthModelConfig.endodac("vitt"), DepthModelConfig.endodav("vitt")])
def test_only_the_foundation_of_the_other_families_is_pretrained(model, tmp_path):
    with pytest.raises(UserError, match="pretraining trains vda with a single one"):
        pretrain(Config(model=model), tmp_path)
    assert list(tmp_path.iterdir()) == []
