"""Fits what `reconstruct` says about the error of a depth, on phantoms, and prints how it holds on others.

    python tools/fit_confidence.py
    python tools/fit_confidence.py --steady
    python tools/fit_confidence.py --judge-only

Depth and motion are the network's, and the path is adjusted to followed points; `endodav reconstruct` tracks it first,
which takes longer and ends near the same.  Errors are relative, after one scale a clip.  Judged are other seeds, and a
family that nothing was fitted on.
"""

import argparse
from pathlib import Path

import numpy as np

from endodav_jax.checkpoints import load_model
from endodav_jax.data.phantom import PhantomConfig, render_sequence
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.reconstruction import confidence
from endodav_jax.reconstruction.confidence import ConfidenceModel
from endodav_jax.reconstruction.confidence_fit import fit_confidence
from endodav_jax.reconstruction.known_clip import KnownClip, steadied
from endodav_jax.reconstruction.measures import ause, clip_scale, reliability

FIT_SEED, JUDGE_SEED = 77_001, 77_003
FITTED = ("colon", "organ", "airway", "stomach", "sinus")
PIXELS = 400  # of a frame that go into the fit


def main() -> None:
    """Fits, judges and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", nargs="+", choices=FAMILIES, default=FITTED)
    parser.add_argument("--judge", nargs="+", choices=FAMILIES, default=tuple(FAMILIES))
    parser.add_argument("--judge-only", action="store_true", help="fit nothing, judge what the package has")
    parser.add_argument("--steady", action="store_true", help="of depth that was steadied along the path first")
    parser.add_argument("--weights", default="shipped")
    parser.add_argument("--sequences", type=int, default=4, help="of each family, to fit on; half as many to judge")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--output", type=Path, help="default: the package's")
    args = parser.parse_args()
    output = args.output or Path(confidence.__file__).parent / confidence.SHIPPED[args.steady]
    config, params, _ = load_model(args.weights)
    estimator = DepthEstimator(config, params["depth"])
    model = ConfidenceModel.shipped(args.steady) if args.judge_only else fitted_model(estimator, params, args, output)
    judged = []
    for family in args.judge:
        for number in range(max(1, args.sequences // 2)):
            features, errors = samples(estimator, params, family, JUDGE_SEED, number, args)
            judged.append((errors, model.expected_error(features)))
            report(f"{family} {number}", *judged[-1])
    report("all together", *(np.concatenate(part) for part in zip(*judged, strict=True)))


def fitted_model(estimator, params, args, output: Path) -> ConfidenceModel:
    """Fits a model and writes it."""
    fitted, groups = [], []
    for family in args.fit:
        for number in range(args.sequences):
            fitted.append(samples(estimator, params, family, FIT_SEED, number, args))
            groups.append(np.full(len(fitted[-1][1]), len(groups)))
    features, errors = (np.concatenate(part) for part in zip(*fitted, strict=True))
    model = fit_confidence(features, errors, np.concatenate(groups))
    about = f"{args.weights}, {len(fitted)} phantoms of {args.frames} frames, seed {FIT_SEED}"
    model.write(output, fitted=about)
    print(f"{output}: {about}")
    return model


def report(name: str, errors: np.ndarray, expected: np.ndarray) -> None:
    """Prints how well errors [P] were predicted."""
    found, chance = ause(errors, expected)
    better = f"AUSE {found:.3f}, of chance {chance:.3f} ({1 - found / chance:.0%} better)"
    print(f"{name}: mean error {errors.mean():.3f}, {better}")
    tenths = ", ".join(f"{a:.3f}/{b:.3f}" for a, b in reliability(errors, expected))
    print(f"  expected / found by tenths: {tenths}", flush=True)


def samples(estimator, params, family: str, seed: int, number: int, args) -> tuple[np.ndarray, np.ndarray]:
    """Features [P,F] and relative errors [P] of some pixels of a sequence."""
    phantom = PhantomConfig.of(
        family, seed=seed, sequences=args.sequences, frames=args.frames, height=args.size[0], width=args.size[1]
    )
    clip = KnownClip(list(render_sequence(phantom, number)))
    views, motions = clip.inferred(estimator, params)
    path, points = clip.adjusted(views, motions)
    if args.steady:
        views, path = steadied(views, path, points)
    random = np.random.default_rng(number)
    scale = clip_scale([view.depth for view in views], clip.depths)
    features, errors = [], []
    for place, (view, tracked, measured) in enumerate(clip.measured(views, path)):
        truth = clip.depths[place]
        known = np.flatnonzero((truth > 0) & (view.depth > 0))
        if tracked.piece < 0 or not len(known):
            continue
        chosen = random.choice(known, min(PIXELS, len(known)), replace=False)
        features.append(measured.reshape(-1, measured.shape[-1])[chosen])
        errors.append((np.abs(scale * view.depth - truth) / np.maximum(truth, 1e-6)).ravel()[chosen])
    return np.concatenate(features), np.concatenate(errors)


if __name__ == "__main__":
    main()
