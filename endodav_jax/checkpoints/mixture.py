"""Networks whose weights are means of those of two others, part by part."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Mixture:
    """How the weights of two networks of one configuration give those of a third.

    A weight becomes (1 - share) of the first network's and share of the second's.  Where the share is negative, the
    first goes on by so much in the direction in which it differs from the second.  A part is a beginning of a weight's
    path, with dots; of several parts that a path begins with, the last one counts.

    Attributes:
      share: part -> share of the second network; 0 for weights of no part.
      scale: part -> factor for the result.
      add: part -> what is added after that.
    """

    share: Mapping[str, float]
    scale: Mapping[str, float] = dataclasses.field(default_factory=dict)
    add: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def of(self, first: dict, second: dict) -> dict:
        """Returns the mixture of two nested dicts of arrays with the same paths and shapes, in float32."""

        def mixed(path: tuple, own: np.ndarray, other: np.ndarray) -> np.ndarray:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            share = _of_last(self.share, name, 0.0)
            value = (1 - share) * own.astype(np.float32) + share * other.astype(np.float32)
            return value * _of_last(self.scale, name, 1.0) + _of_last(self.add, name, 0.0)

        return jax.tree_util.tree_map_with_path(mixed, first, second)


def _of_last(parts: Mapping[str, float], name: str, otherwise: float) -> float:
    found = [value for part, value in parts.items() if f"{name}.".startswith(f"{part}.")]
    return found[-1] if found else otherwise
