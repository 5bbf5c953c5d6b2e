"""The tables that a network's configuration chooses from: families of depth networks, and adapters.

`config` is always a `DepthModelConfig`, which looks its family up here.  An entry holds everything that the rest of
the package knows of a family or an adapter, so that adding one is adding an entry.  `families.py` and `adapters.py`
hold ours; another package adds its own by `register_family` and `register_adapter`: see `docs/extending.md`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx

from endodav_jax.models.tensor_names import Leaf, Rule

Claim = Literal["no", "possible", "likely"]


class KeyTraits(NamedTuple):
    """What the keys of a published ViT-DPT state dict tell of its family.

    Attributes:
      video: the head's names are those of the video networks (`head.`), not of the image networks (`depth_head.`).
      adapter: name of the adapter in the encoder's layers, or `none`.
      multi_head: there are four sigmoid heads.
      residual_blocks: blocks of the encoder that are followed by a convolutional residual block.
      file: name of the file in lower case.
      of_checkpoint: the file is the `depth_model` of a training folder.
    """

    video: bool
    adapter: str
    multi_head: bool
    residual_blocks: tuple[int, ...]
    file: str
    of_checkpoint: bool

    @property
    def plain(self) -> bool:
        """Whether nothing has been added to the foundation model."""
        return self.adapter == "none" and not self.multi_head and not self.residual_blocks


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """One family of depth networks.

    Attributes:
      name: value of `DepthModelConfig.family`, in configurations, on cards and on the command line.
      title: for people.
      network: (config, rngs, remat) -> the network: an `interface.WindowNetwork` if `windows`, an
        `interface.FrameNetwork` otherwise.
      windows: whether the network sees windows of frames, or each frame alone.
      defaults: fields of the published configuration that differ from the defaults of `DepthModelConfig`.
      trained_groups: parameter groups of the depth network that training changes; empty if it is not trained.
      tensor_names: config -> the names and layouts of its tensors in PyTorch's files.
      licence: preset -> what is known of the licence of the published weights and of those derived from them.
      taps: backbone -> the blocks whose outputs the head reads; by default those of the backbone.
      low_rank_scale: rank -> alpha / rank of LoRA, by which the low-rank product is scaled.
      residual_blocks: whether the encoder may have convolutional residual blocks.
      frame_shape: (height, width) to which frames of a video are brought by Lanczos resampling before the network sees
        them; None for the published bicubic resizing straight to `DepthModelConfig.image_shape`.
      fixed_tensors: config -> tensors that PyTorch's files hold beside the parameters, by name.
      claims: whether a published ViT-DPT state dict is of this family; None for a network of another kind, whose
        files are recognised by `tensor_names`.
    """

    name: str
    title: str
    network: Callable[..., nnx.Module]
    windows: bool
    defaults: Mapping[str, Any]
    trained_groups: frozenset[str]
    tensor_names: Callable[..., list[Rule]]
    licence: Callable[[str], str]
    taps: Callable[..., tuple[int, ...]] = lambda backbone: backbone.taps
    low_rank_scale: Callable[[int], float] = lambda rank: 2.0
    residual_blocks: bool = False
    frame_shape: tuple[int, int] | None = None
    fixed_tensors: Callable[..., dict[str, np.ndarray]] = lambda config: {}
    claims: Callable[[KeyTraits], Claim] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Adapter:
    """One kind of adapter of linear layers.

    Attributes:
      name: value of `DepthModelConfig.adapter`.
      build: (n_in, n_out, config, numerics, rngs) -> the module, an `interface.LinearAdapter`.
      merge: (kernel, the module's parameters, config) -> the kernel of the plain layer that computes the same.
      tensors: parameter -> the tensor of a published layer that holds it.
      reads: the extra tensors of a published layer, by name -> the rank if they are this adapter's (1 for one without
        ranks), otherwise None.
      ranked: whether `DepthModelConfig.rank` matters.
      late: parameters that are trained in place of the others once the warm-up is over.
    """

    name: str
    build: Callable[..., nnx.Module]
    merge: Callable[..., jax.Array]
    tensors: Mapping[str, Leaf]
    reads: Callable[[Mapping[str, np.ndarray]], int | None]
    ranked: bool = False
    late: frozenset[str] = frozenset()


FAMILIES: dict[str, Family] = {}
ADAPTERS: dict[str, Adapter] = {}
NO_ADAPTER = "none"


def register_family(family: Family) -> None:
    """Adds a family; its name is then a value of `DepthModelConfig.family`.

    Raises:
      ValueError: there is one of that name.
    """
    _add(FAMILIES, family.name, family)


def register_adapter(adapter: Adapter) -> None:
    """Adds a kind of adapter; its name is then a value of `DepthModelConfig.adapter`.

    Raises:
      ValueError: there is one of that name.
    """
    _add(ADAPTERS, adapter.name, adapter)


def late_parameters() -> frozenset[str]:
    """The names of the parameters of all adapters that are trained once the warm-up is over."""
    return frozenset().union(*(adapter.late for adapter in ADAPTERS.values()))


def _add(table: dict, name: str, entry: Family | Adapter) -> None:
    if name in table or name == NO_ADAPTER:
        raise ValueError(f"{name}: is registered already; choose another name")
    table[name] = entry
