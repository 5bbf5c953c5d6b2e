"""Fits the model of `confidence` to measured errors."""

import numpy as np
import scipy.optimize

from endodav_jax.reconstruction.confidence import FEATURES, MOST, ConfidenceModel

KNOTS = 12
FEWEST = 0.05  # pixels of a sequence at a knot, over those of the sequence that has most there


def fit_confidence(features: np.ndarray, errors: np.ndarray, groups: np.ndarray) -> ConfidenceModel:
    """Fits the weights, and then the curve.

    The weights learn the distribution of errors within a sequence relative to their mean, since the mean differs from
    sequence to sequence for reasons not visible in any pixel.  The loss is log m + e / m, the negative log likelihood
    of an exponential distribution, which is minimal if m is the mean error and is convex in the weights.  The curve is
    fitted to the geometric mean over sequences, so that a single failed sequence does not dominate.

    Args:
      features: [P,F] as in `FEATURES`.
      errors: [P] relative errors, non-negative.
      groups: [P] the sequence of each pixel.
    """
    errors = np.clip(errors, 0, MOST).astype(np.float64)
    features = np.asarray(features, np.float64)
    usual = np.empty_like(errors)
    for name in np.unique(groups):
        usual[groups == name] = max(errors[groups == name].mean(), 1e-6)
    targets = errors * errors.mean() / usual

    def loss(numbers):
        bias, weights = numbers[0], numbers[1:]
        said = features @ weights + bias
        share = targets * np.exp(-said)
        slope = 1 - share
        return (said + share).mean(), np.concatenate([[slope.mean()], features.T @ slope / len(slope)])

    start = np.concatenate([[np.log(targets.mean() + 1e-6)], np.zeros(len(FEATURES))])
    bounds = [(None, None)] + [(0, None)] * len(FEATURES)
    bias, *weights = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    said = np.exp(features @ weights + bias)
    edges = np.quantile(said, np.linspace(0, 1, KNOTS + 1))
    place = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, KNOTS - 1)
    kept = [knot for knot in range(KNOTS) if (place == knot).any()]
    centres = np.array([np.exp(np.log(said[place == knot]).mean()) for knot in kept])
    found = np.maximum.accumulate([_usual_error(errors[place == knot], groups[place == knot]) for knot in kept])
    return ConfidenceModel(np.asarray(weights), float(bias), centres, found)


def _usual_error(errors: np.ndarray, groups: np.ndarray) -> float:
    """Geometric mean over the groups of their mean error; groups of next to no pixels have no say."""
    names, counts = np.unique(groups, return_counts=True)
    many = names[counts >= FEWEST * counts.max()]
    return float(np.exp(np.mean([np.log(max(errors[groups == name].mean(), 1e-5)) for name in many])))
