"""A row of the ablation (table 2) with the ViT-B backbone on SCARED: projection loss, no depth alignment.

The projection loss has weight 1e-2.  Alignment does not affect training: with
`evaluate.windows="none"` the windows of a long video are left unaligned,
in the validation after each epoch as in `evaluate`.  The weights are therefore those of `ablation_both.py`, too;
to evaluate this row with a network that is already trained, skip the first command.

    python -m endodav_jax.main --config ablation_projection --workdir runs/ablation_projection \\
        --config.weights=weights/vda_vitb --config.data.path=data/scared \\
        --config.train.validation_path=data/scared
    python -m endodav_jax.main --config ablation_projection --workdir runs/ablation_projection/test \\
        --config.job=evaluate --config.weights=runs/ablation_projection/model --config.evaluate.path=data/scared

Published: abs rel 0.180, RMSE 14.554 mm, delta 0.671, TAE 0.80.  We have not yet run it on SCARED.
"""

from endodav_jax.config import base_config
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    return base_config(**published_runs.endodav("vitb"), evaluate=EvaluateConfig(windows="none"))
