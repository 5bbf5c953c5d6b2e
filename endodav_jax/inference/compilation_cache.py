"""Keeps compiled programs between runs, so that only the first run on a machine waits for the compiler."""

import os
from pathlib import Path

import jax


def default_cache_folder() -> Path:
    """`endodav_jax` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "endodav_jax" / "xla"


def use_compilation_cache() -> None:
    """Points JAX's persistent compilation cache at `default_cache_folder`, unless a folder is already set.

    A folder that cannot be made (a read-only home, no home at all) leaves JAX without the cache; a failure while an
    entry is read or written is a warning of JAX's and stops nothing.
    """
    if jax.config.jax_compilation_cache_dir:
        return
    try:
        folder = default_cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
