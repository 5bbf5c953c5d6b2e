"""Evaluates a checkpoint's depth on a prepared data set, like `endodav evaluate`, from a configuration.

    python -m endodav_jax.main --config evaluate --config.weights=runs/endodav_vitb/model \\
        --config.evaluate.path=data/scared --workdir out

The published rule: scale and shift from median and mean deviation, once per sequence; depth from 0.001 to 150 mm; on
SCARED's `test` list.  Use `--config.evaluate.split=validation` or `eval` for its other lists, and
`--config.evaluate.predictions=FOLDER` instead of weights for another method.  Writes `results.json`, `report.html`,
and trajectories if the checkpoint has a pose network.
"""

from endodav_jax.config import base_config


def get_config():
    """Returns the defaults; data and weights must be set by the caller."""
    return base_config(job="evaluate")
