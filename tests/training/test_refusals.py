"""A step that was not finite is named exactly, however late one looks."""

import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.training import parallel
from endodav_jax.training.refusals import Refusals


def step(refusals: Refusals, number: int, pose_norm: float = 1.0, first_frame: int = 5) -> None:
    """Adds a step on a clip of the second sequence."""
    metrics = {"loss": np.float32(0.1), "gradient_norm/pose": np.float32(pose_norm), "finite": np.isfinite(pose_norm)}
    batch = {"sequence": np.array([1]), "frame_index": np.array([[first_frame, first_frame + 1]])}
    refusals.add(number, parallel.replicate(metrics), batch)


def test_the_first_refused_step_is_named_with_its_group_and_clip():
    refusals = Refusals(("colon_0", "colon_1"))
    step(refusals, 11)
    step(refusals, 12, np.nan, first_frame=40)
    step(refusals, 13, np.inf, first_frame=60)
    with pytest.raises(UserError, match=r"^step 12: gradient_norm/pose is not finite, on colon_1 frames 40 to 41; "):
        refusals.look()


def test_finite_steps_are_forgotten_once_looked_at():
    refusals = Refusals(("colon_0", "colon_1"))
    step(refusals, 1)
    refusals.look()
    step(refusals, 2)
    refusals.look()
