"""All networks of self-supervised training in one module, so that one tree holds every weight of a run."""

from collections.abc import Callable, Mapping

from flax import nnx

from endodav_jax.choices import Precision
from endodav_jax.models.build import build_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.flow import FlowNet, TransformNet
from endodav_jax.models.layers import Numerics
from endodav_jax.models.pose import IntrinsicsHead, PoseNet
from endodav_jax.models.resnet import PUBLISHED_LAYERS

DEPTH_NETWORK = "depth"
# Those with a ResNet of their own; the head of the intrinsics reads the pose network's features.
RESNET_NETWORKS: Mapping[str, Callable[..., nnx.Module]] = {"pose": PoseNet, "flow": FlowNet, "transform": TransformNet}
MOTION_NETWORKS = ("pose", "intrinsics", "flow", "transform")


def motion_network(
    name: str,
    rngs: nnx.Rngs,
    *,
    layers: int = PUBLISHED_LAYERS,
    precision: Precision = "float32",
    axis_name: str | None = None,
) -> nnx.Module:
    """Builds one of `MOTION_NETWORKS`; see `TrainingNetworks`."""
    if name == "intrinsics":
        return IntrinsicsHead(rngs, layers=layers)
    return RESNET_NETWORKS[name](rngs, layers=layers, numerics=Numerics.of(precision), axis_name=axis_name)


class TrainingNetworks(nnx.Module):
    """`depth`, `pose`, `intrinsics`, `flow`, `transform`.

    Args:
      config: of the depth network.
      rngs: of the initial weights.
      layers: of the motion networks' ResNets: 18, 34 or 50, or 10 for our own narrow ones.
      precision: of the motion networks; statistics and the last layers are float32 always.
      axis_name: the mapped axis of devices over which batch norm takes its statistics, or None.
      remat: see `VideoDepth`.
    """

    pose: PoseNet
    intrinsics: IntrinsicsHead
    flow: FlowNet
    transform: TransformNet

    def __init__(
        self,
        config: DepthModelConfig,
        rngs: nnx.Rngs,
        *,
        layers: int = PUBLISHED_LAYERS,
        precision: Precision = "float32",
        axis_name: str | None = None,
        remat: bool = False,
    ):
        self.depth = build_depth_model(config, rngs, remat)
        for name in MOTION_NETWORKS:
            setattr(self, name, motion_network(name, rngs, layers=layers, precision=precision, axis_name=axis_name))
