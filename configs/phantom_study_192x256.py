"""The study at 192x256: larger frames, seen by the network at 168x224, and half as many videos.

    endodav reproduce study --config phantom_study_192x256 -o runs/study192
    python -m endodav_jax.main --config phantom_study_192x256 --workdir out/study192

Everything else is that of `phantom_study`.  Its figures are in docs/benchmarks.md.
"""

from endodav_jax.config import load_config_file


def get_config():
    """Returns the configuration."""
    config = load_config_file("phantom_study")
    config.data.phantom.update(height=192, width=256, sequences=24)
    config.model.image_shape = (168, 224)
    return config
