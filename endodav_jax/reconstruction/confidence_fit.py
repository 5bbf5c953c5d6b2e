"""Fits what `confidence` says to errors that were measured."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from endodav_jax.reconstruction.confidence import MOST, ConfidenceModel, log_error

WIDTH = 16
STEPS = 300  # few: sequences are few, and a network that learns them by heart holds on no other
BATCH = 4096
RATE = 3e-3
DECAY = 0.1
KNOTS = 12


def fit_confidence(features: np.ndarray, errors: np.ndarray, groups: np.ndarray, seed: int = 0) -> ConfidenceModel:
    """Fits the network on half of the sequences and the curve on the other half.

    The network learns how a sequence's error is spread, relative to its mean: how large it is on the whole differs from
    sequence to sequence for reasons that no pixel shows.  The loss is log m + e / m, of which the mean error is the
    best m: the likelihood of an exponential distribution.

    Args:
      features: [P,F].
      errors: [P] relative errors, not negative.
      groups: [P] the sequence that each came from.
      seed: of the network's first weights and the batches.
    """
    errors = np.clip(errors, 0, MOST).astype(np.float32)
    names = np.unique(groups)
    first = np.isin(groups, names[::2]) if len(names) > 1 else np.arange(len(errors)) % 2 == 0
    middle, spread = features.mean(0), features.std(0) + 1e-3
    inputs = ((features - middle) / spread).astype(np.float32)
    usual = np.empty_like(errors)
    for name in names:
        usual[groups == name] = max(errors[groups == name].mean(), 1e-6)
    layers = _trained(inputs[first], (errors * errors.mean() / usual)[first], seed)
    said = np.exp(log_error(layers, inputs[~first], np))
    edges = np.quantile(said, np.linspace(0, 1, KNOTS + 1))
    place = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, KNOTS - 1)
    kept = [knot for knot in range(KNOTS) if (place == knot).any()]
    centres = np.array([np.exp(np.log(said[place == knot]).mean()) for knot in kept])
    found = np.maximum.accumulate([max(errors[~first][place == knot].mean(), 1e-5) for knot in kept])
    return ConfidenceModel(middle, spread, layers, centres, np.asarray(found))


def _trained(inputs: np.ndarray, errors: np.ndarray, seed: int) -> tuple:
    random = np.random.default_rng(seed)
    sizes = (inputs.shape[1], WIDTH, WIDTH, 1)
    layers = tuple(
        (jnp.asarray(random.normal(0, n**-0.5, (n, m)), jnp.float32), jnp.zeros(m))
        for n, m in itertools.pairwise(sizes)
    )
    *before, (weights, bias) = layers
    layers = (*before, (weights, bias + float(np.log(errors.mean() + 1e-6))))
    optimiser = optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    state = optimiser.init(layers)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(layers, state, inputs, errors):
        def loss(layers):
            said = log_error(layers, inputs, jnp)
            return jnp.mean(said + errors * jnp.exp(-said))

        updates, state = optimiser.update(jax.grad(loss)(layers), state, layers)
        return optax.apply_updates(layers, updates), state

    for _ in range(STEPS):
        batch = random.integers(0, len(inputs), BATCH)
        layers, state = step(layers, state, inputs[batch], errors[batch])
    return tuple((np.asarray(weights), np.asarray(bias)) for weights, bias in layers)
