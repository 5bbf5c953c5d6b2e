"""The jobs, one module each: what `endodav COMMAND` and `python -m endodav_jax.main` run."""
