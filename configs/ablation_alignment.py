"""A row of the ablation (table 2) with the ViT-B backbone on SCARED: depth alignment, no projection loss.

The projection loss has weight 0; everything else is as published.  Alignment does not affect training: with
`evaluate.windows="endodav"` the windows of a long video are aligned by EndoDAV's rule,
in the validation after each epoch as in `evaluate`.  The weights are therefore those of `ablation_neither.py`, too;
to evaluate this row with a network that is already trained, skip the first command.

    python -m endodav_jax.main --config ablation_alignment --workdir runs/ablation_alignment \\
        --config.weights=weights/vda_vitb --config.data.path=data/scared \\
        --config.train.validation_path=data/scared
    python -m endodav_jax.main --config ablation_alignment --workdir runs/ablation_alignment/test \\
        --config.job=evaluate --config.weights=runs/ablation_alignment/model --config.evaluate.path=data/scared

Published: abs rel 0.162, RMSE 13.215 mm, delta 0.665, TAE 0.40.  We have not yet run it on SCARED.
"""

from endodav_jax.config import base_config
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    return base_config(**published_runs.endodav("vitb", projection=False), evaluate=EvaluateConfig(windows="endodav"))
