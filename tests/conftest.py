"""What every test shares: the golden numbers, and a compilation cache so that a second run is quick."""

import gc
import os
import tempfile
from pathlib import Path

# Before JAX starts: nothing here needs an accelerator, and compiled programs are kept between runs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "endodav_jax_test_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest

from tests.signatures import check_array_signatures, check_signatures

# Before anything of the package is imported.
check_signatures(
    "endodav_jax.geometry",
    "endodav_jax.models",
    "endodav_jax.losses",
    "endodav_jax.inference.programs",
    "endodav_jax.inference.windowed",
    "endodav_jax.training.depth_objective",
    "endodav_jax.training.flow_objective",
    "endodav_jax.training.objective",
    "endodav_jax.training.partition",
    "endodav_jax.training.step",
    "endodav_jax.training.view_synthesis",
)
# Tests of these pass stand-ins for readers, data sets and estimators, so only arrays are checked.
check_array_signatures(
    "endodav_jax.evaluation",
    "endodav_jax.export",
    "endodav_jax.scale",
    "endodav_jax.video",
)

import jax  # noqa: E402

from tests.golden_cases import GoldenCases  # noqa: E402
from tests.process_memory import give_back_memory, resident_megabytes  # noqa: E402

# Modules with a test that takes minutes: begun first, since a worker would wait for one that another begins last.
LONGEST = ("test_readme", "test_notebook", "test_step", "test_kill_and_resume")
MOST_KEPT = 1500  # megabytes that a process of tests may hold from one module to the next


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest modules first; workers keep that order with `--no-loadscope-reorder`."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def golden() -> GoldenCases:
    """The numbers of the published programs, from `ENDODAV_GOLDEN_DIR` or the copy in the repository."""
    return GoldenCases.from_environment()


@pytest.fixture(autouse=True, scope="module")
def memory_of_earlier_modules_is_given_back():
    """Compiled programs are dropped where a process has grown: two that keep them all outgrow a machine of 24 GB."""
    yield
    if resident_megabytes() > MOST_KEPT:
        jax.clear_caches()
        gc.collect()
        give_back_memory()
