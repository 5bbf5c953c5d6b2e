"""All networks of self-supervised training in one module, so that one tree holds every weight of a run."""

from flax import nnx

from endodav_jax.choices import Precision
from endodav_jax.models.build import build_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.flow import FlowNet, TransformNet
from endodav_jax.models.layers import Numerics
from endodav_jax.models.pose import IntrinsicsHead, PoseNet

DEPTH_NETWORK = "depth"
MOTION_NETWORKS = ("pose", "intrinsics", "flow", "transform")


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

    def __init__(
        self,
        config: DepthModelConfig,
        rngs: nnx.Rngs,
        *,
        layers: int = 18,
        precision: Precision = "float32",
        axis_name: str | None = None,
        remat: bool = False,
    ):
        numerics = Numerics.of(precision)
        self.depth = build_depth_model(config, rngs, remat)
        self.pose = PoseNet(rngs, layers=layers, numerics=numerics, axis_name=axis_name)
        self.intrinsics = IntrinsicsHead(rngs, layers=layers)
        self.flow = FlowNet(rngs, layers=layers, numerics=numerics, axis_name=axis_name)
        self.transform = TransformNet(rngs, layers=layers, numerics=numerics, axis_name=axis_name)
