"""A clip's depth, corrected frame by frame before anything is written."""

from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.video.spool import DisparitySpool


class Steady(Protocol):
    """Corrects the depth of a clip's frames.

    Attributes:
      note: what could not be corrected, in one line; empty if nothing.
    """

    note: str

    def __call__(
        self, place: int, depth: Float32[np.ndarray, "H W"], inside: Bool[np.ndarray, "H W"]
    ) -> Float32[np.ndarray, "H W"]:
        """The corrected depth of the frame at a place in the clip; 0 stays 0."""


def corrected(spool: DisparitySpool, model: DepthModelConfig, steady: Steady) -> DisparitySpool:
    """Returns a new spool of the network's outputs, with those that the corrected depth has.

    Raises:
      UserError: no space.
    """
    inside = np.ones(spool.size, bool) if spool.inside is None else spool.inside
    outputs = DisparitySpool(spool.folder, spool.size, spool.inside)
    for place, (index, output) in enumerate(spool):
        known = output > 0  # elsewhere infinitely far, or left out (NaN)
        depth = np.where(known, model.depth(np.where(known, output, 1)), 0).astype(np.float32)
        depth = np.where(known, steady(place, depth, inside), 1)
        output = np.where(known, np.maximum(model.output_of(depth), 0), output).astype(np.float32)
        left_out = np.isnan(output)
        outputs.append(index, output, ~left_out if left_out.any() else None)
    return outputs
