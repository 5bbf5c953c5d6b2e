"""What must be quick, and what happens where the disk does not want to help."""

import subprocess
import sys

import jax
import pytest

from endodav_jax.inference.compilation_cache import default_cache_folder, use_compilation_cache


def test_importing_the_package_imports_no_jax():
    program = "import sys, endodav_jax; print(sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """JAX without a compilation cache, and a user's cache folder of its own."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_in_the_users_cache_folder(no_cache):
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(default_cache_folder())
    assert default_cache_folder().is_dir()
    assert default_cache_folder().is_relative_to(no_cache)


def test_a_folder_that_is_already_set_is_kept(no_cache):
    jax.config.update("jax_compilation_cache_dir", str(no_cache / "mine"))
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(no_cache / "mine")


def test_a_cache_folder_that_cannot_be_made_is_done_without(no_cache, monkeypatch):
    (no_cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_cache / "file"))
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
