"""Errors of a checkpoint's depth on a prepared data set, as `endodav evaluate` measures them, from a configuration.

    python -m endodav_jax.main --config evaluate --config.weights=runs/endodav_vitb/model \\
        --config.evaluate.path=data/scared --workdir out

The published rule: scale and shift from median and mean deviation once a sequence, depth from 0.001 to 150 mm, on
SCARED's `test` list.  `--config.evaluate.split=validation` or `eval` for its other lists,
`--config.evaluate.predictions=FOLDER` in place of weights for another method.  Writes `results.json`, `report.html`,
and trajectories where the checkpoint has a pose network.
"""

from endodav_jax.config import base_config


def get_config():
    """Every default; only the data and the weights are left to say."""
    return base_config(job="evaluate")
