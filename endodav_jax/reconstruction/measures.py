"""Evaluates a path, a surface and confidence against ground truth."""

import dataclasses

import numpy as np

SPARSIFICATION_STEPS = 20
DECILES = 10
WINDOW = 10  # frame interval of the steps whose lengths are compared for scale drift


@dataclasses.dataclass(frozen=True)
class PathErrors:
    """Errors of a path after the best rigid motion (and scale, if free).

    Attributes:
      ate: root mean square distance between estimated and true camera positions, in the unit of the truth.
      share: the same, divided by the length of the true path.
      scale: the factor applied to the path.
      scale_drift: standard deviation of the logarithm of step length over true step length.
    """

    ate: float
    share: float
    scale: float
    scale_drift: float


def path_errors(places: np.ndarray, truth: np.ndarray, free_scale: bool) -> PathErrors:
    """Compares camera centres [N,3] with the true ones by Umeyama's alignment (1991)."""
    middle, wanted = places.mean(0), truth.mean(0)
    covariance = (truth - wanted).T @ (places - middle) / len(places)
    u, singular, v = np.linalg.svd(covariance)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    rotation = u @ np.diag(sign) @ v
    variance = np.mean(np.sum((places - middle) ** 2, 1))
    scale = float((singular * sign).sum() / variance) if free_scale and variance > 0 else 1.0
    off = truth - (scale * (places - middle) @ rotation.T + wanted)
    ate = float(np.sqrt(np.mean(np.sum(off**2, 1))))
    length = float(np.linalg.norm(np.diff(truth, axis=0), axis=1).sum())
    step = min(WINDOW, len(places) - 1)
    mine, true = (np.linalg.norm(p[step:] - p[:-step], axis=1) for p in (places, truth))
    moved = true > 0.1 * np.median(true)
    drift = float(np.std(np.log(np.maximum(mine[moved], 1e-9) / true[moved]))) if moved.any() else 0.0
    return PathErrors(ate, ate / max(length, 1e-12), scale, drift)


def sparsification(errors: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean error of the remaining pixels as the least trusted are removed (Ilg et al. 2018).

    Args:
      errors: [P].
      expected: [P], by which they are sorted.

    Returns:
      [K] fractions removed, [K] mean errors, [K] the same when sorted by the errors themselves.
    """
    shares = np.linspace(0, 1, SPARSIFICATION_STEPS, endpoint=False)
    kept = np.maximum(1, np.round((1 - shares) * len(errors)).astype(int))
    curves = []
    for order in (np.argsort(expected, kind="stable"), np.argsort(errors, kind="stable")):
        curves.append((np.cumsum(errors[order]) / np.arange(1, len(errors) + 1))[kept - 1])
    return shares, curves[0], curves[1]


def ause(errors: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Returns the area between the sparsification curve and the ideal one, over the mean error; and that of chance."""
    shares, curve, best = sparsification(errors, expected)
    mean = errors.mean()
    return float(np.trapezoid(curve - best, shares) / mean), float(np.trapezoid(mean - best, shares) / mean)


def reliability(errors: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Returns [10,2]: mean expected and mean actual error in each decile of pixels, sorted by expected error."""
    order = np.argsort(expected, kind="stable")
    return np.array([[expected[part].mean(), errors[part].mean()] for part in np.array_split(order, DECILES)])


def clip_scale(depths: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """Returns the median ratio of the true to the given depth over a clip."""
    ratios = [
        truth[known] / depth[known]
        for depth, truth in zip(depths, truths, strict=True)
        if (known := (truth > 0) & (depth > 0)).any()
    ]
    return float(np.median(np.concatenate(ratios)))
