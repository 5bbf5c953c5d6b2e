"""Fits what `confidence` says to errors that were measured."""

import numpy as np
import scipy.optimize

from endodav_jax.reconstruction.confidence import FEATURES, MOST, ConfidenceModel

KNOTS = 12
FEWEST = 0.05  # pixels of a sequence at a knot, over those of the sequence that has most there


def fit_confidence(features: np.ndarray, errors: np.ndarray, groups: np.ndarray) -> ConfidenceModel:
    """Fits the weights, and then the curve.

    The weights learn how a sequence's error is spread, relative to its mean: how large it is on the whole differs from
    sequence to sequence for reasons that no pixel shows.  The loss is log m + e / m, of which the mean error is the
    best m: the likelihood of an exponential distribution, convex in the weights.  The curve goes through the
    sequences' geometric mean, lest one that went wrong altogether speak for all.

    Args:
      features: [P,F] as in `FEATURES`.
      errors: [P] relative errors, not negative.
      groups: [P] the sequence that each came from.
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
