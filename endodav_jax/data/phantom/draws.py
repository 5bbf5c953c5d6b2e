"""Random numbers for a part of a scene, taken in turn from one stream."""

import math

import jax
import jax.numpy as jnp

_STREAM = 256  # more than any part of a scene needs


class Draws:
    """Hands out float32 numbers drawn from one key in a single call, so that drawing compiles fast.

    Raises:
      ValueError: more than `_STREAM` numbers are requested.
    """

    def __init__(self, key: jax.Array):
        self._keys = key
        self._numbers = jax.random.uniform(jax.random.fold_in(key, 0), (_STREAM,), jnp.float32)
        self._taken = 0
        self._keys_taken = 0

    def key(self) -> jax.Array:
        """A fresh key, independent of the numbers."""
        self._keys_taken += 1
        return jax.random.fold_in(self._keys, self._keys_taken)

    def uniform(self, low, high, shape: tuple[int, ...] = ()) -> jax.Array:
        """Uniform in [low, high)."""
        count = math.prod(shape)
        if self._taken + count > _STREAM:
            raise ValueError(f"a part of a scene draws more than {_STREAM} numbers")
        numbers = self._numbers[self._taken : self._taken + count].reshape(shape)
        self._taken += count
        return low + (high - low) * numbers

    def log_uniform(self, low, high) -> jax.Array:
        """Uniform in the logarithm."""
        return jnp.exp(self.uniform(jnp.log(low), jnp.log(high)))

    def chance(self, probability, shape: tuple[int, ...] = ()) -> jax.Array:
        """1.0 with `probability`, else 0.0."""
        return (self.uniform(0.0, 1.0, shape) < probability).astype(jnp.float32)
