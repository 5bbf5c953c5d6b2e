"""What pretraining writes about itself, its learning rates, and how it goes on."""

import dataclasses
import json

import pytest

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining import loop
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.run import held_out_errors, loss_curves
from endodav_jax.pretraining.step import pretrain_step

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

    monkeypatch.setattr(loop, "scene_batches", TwoBatches)
    with pytest.raises(Interrupted):
        loop.pretrain(model, SHORT, 0, tmp_path)
    compiled = pretrain_step._cache_size()
    monkeypatch.setattr(loop, "scene_batches", made)
    loop.pretrain(model, SHORT, 0, tmp_path)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    assert pretrain_step._cache_size() == compiled


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
