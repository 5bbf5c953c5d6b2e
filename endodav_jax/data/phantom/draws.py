"""Named random numbers of a scene: one key, each number its own stream, so that the order of use decides."""

import math

import jax
import jax.numpy as jnp


class Draws:
    """Hands out random float32 numbers; each call folds a running count into the key."""

    def __init__(self, key: jax.Array):
        self._key = key
        self._count = 0

    def key(self) -> jax.Array:
        """A fresh key."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count)

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """Uniform in [low, high)."""
        return jax.random.uniform(self.key(), shape, jnp.float32, low, high)

    def log_uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """Uniform in the logarithm."""
        return jnp.exp(self.uniform(math.log(low), math.log(high), shape))

    def chance(self, probability: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """1.0 with `probability`, else 0.0."""
        return (jax.random.uniform(self.key(), shape, jnp.float32) < probability).astype(jnp.float32)

    def direction(self) -> jax.Array:
        """A unit vector [3]."""
        vector = jax.random.normal(self.key(), (3,), jnp.float32)
        return vector / jnp.linalg.norm(vector)

    def rotation(self) -> jax.Array:
        """A rotation [3,3], uniform over all."""
        return jnp.linalg.qr(jax.random.normal(self.key(), (3, 3), jnp.float32))[0]
