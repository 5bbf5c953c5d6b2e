"""Network weights on disk: checkpoint folders, adapter files, and conversion from and to PyTorch files."""

from endodav_jax.checkpoints.adapter_file import apply_adapter, save_adapter
from endodav_jax.checkpoints.card import Card
from endodav_jax.checkpoints.store import MODEL_FOLDER, save_model
from endodav_jax.checkpoints.transfer import convert, export_adapter, export_merged, load_model

__all__ = [
    "MODEL_FOLDER",
    "Card",
    "apply_adapter",
    "convert",
    "export_adapter",
    "export_merged",
    "load_model",
    "save_adapter",
    "save_model",
]
