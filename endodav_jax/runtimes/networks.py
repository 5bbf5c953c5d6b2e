"""`network_for`: a network for the requested runtime."""

import dataclasses
from typing import Literal

from endodav_jax.errors import UserError
from endodav_jax.export.export import merged_float32
from endodav_jax.inference.network import JaxNetwork, Network
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.models import DepthModelConfig, merge_adapters
from endodav_jax.runtimes.choose import choose_runtime, instead
from endodav_jax.runtimes.exported import ExportedNetwork, Tell, cached_export, silent

Use = Literal["video", "stream"]


def network_for(
    config: DepthModelConfig, params: dict, wanted: RuntimeConfig, use: Use | None = None, tell: Tell = silent
) -> tuple[Network, str]:
    """Returns the network for a runtime, and a line with the runtime, the reason, and the loss of accuracy from int8.

    Args:
      config: of the network.
      params: its weights, with or without adapters.
      wanted: runtime and precision.
      use: the only use, which is prepared immediately; the network then keeps no reference to `params`.  None for
        any use: each is prepared when it is first needed, a video's immediately for int8 and `auto`.
      tell: takes a line for the user before something is exported or calibrated, which happens once.

    Raises:
      UserError: the runtime is not installed or does not support the precision, or int8 loses too much accuracy.
    """
    if wanted.precision != "int8" and (wanted.int8_frames or wanted.int8_force):
        raise UserError(f"--int8-frames, --int8-force: only valid with --precision int8, not {wanted.precision}")
    engine, why = choose_runtime(wanted.runtime, wanted.precision, live=use == "stream")
    if wanted.precision == "int8":
        from endodav_jax.runtimes.int8 import Int8Files

        config, merged = merged_float32(config, params)
        files = Int8Files(config, merged, wanted.int8_frames, wanted.int8_force, tell)
        why = f"{why}; {files.prepare(use or 'video')}"
        network = ExportedNetwork(config, files, engine, files.compute)
        if use:
            network.prepare(use, alone=True)
        return network, why
    if engine != "jax":
        merged_config, merged = merged_float32(config, params)
        network = ExportedNetwork(merged_config, cached_export(merged_config, merged, tell), engine, wanted.precision)
        try:
            if use or wanted.runtime == "auto":
                network.prepare(use or "video", alone=use is not None)
            return network, why
        except (UserError, RuntimeError) as error:  # RuntimeError: of the converting process
            if wanted.runtime != "auto":
                raise
            first, *others = str(error).splitlines()
            name = "OpenVINO" if engine == "openvino" else engine
            why = instead(" ".join([first, *others[-1:]]), name)  # a process's last words say most
    return JaxNetwork(*merge_adapters(dataclasses.replace(config, precision=wanted.precision), params)), why
