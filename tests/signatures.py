"""Checks every call of the package against the types and shapes of its signatures, while tests run."""

import jax
import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype

# An int may stand for a float, as PEP 484 says and every type checker has it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_signatures(*packages: str) -> None:
    """Has every module of `packages` that is imported from now on checked.

    JAX's functions take NumPy's arrays, and so do those of the package, so `Array` stands for both here.
    """
    jaxtyping.Array = jax.Array | np.ndarray
    jaxtyping.install_import_hook(packages, f"{__name__}.check")
