"""What pretraining writes about itself."""

import json

from endodav_jax.pretraining.run import loss_curves


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
