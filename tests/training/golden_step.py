"""One whole update of `train_step.npz`, from weights and frames to losses, gradients and parameters after Adam."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from endodav_jax.conversion.motion_names import MOTION_FILES, motion_params_from_torch, torch_from_motion_params
from endodav_jax.conversion.names import params_from_torch, torch_from_params
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.groups import group_of
from endodav_jax.models.training_networks import TrainingNetworks
from endodav_jax.training.depth_objective import DepthAux, depth_objective
from endodav_jax.training.flow_objective import FlowAux, flow_objective
from endodav_jax.training.objective_config import ObjectiveConfig
from tests.golden_cases import GoldenCases

DEPTH_NETWORK = "endodav_vits_ssb"
LEARNING_RATE = 1e-4
# As the golden cases' description has it.
FLOW_HEAD_FACTOR, OUTPUT_FACTOR, OUTPUT_BIAS = 0.05, 0.02, 0.05
WEIGHTS = {"projection_weight": 1e-2, "flow_depth_weight": 1e-3}
PHASE_GROUPS = {"spatial": "spatial_adapters", "temporal": "temporal_adapters"}
ALWAYS = ("output_convolutions", "pose", "intrinsics", "transform")


@dataclasses.dataclass(frozen=True)
class Start:
    """Networks and batch as they are before the update; parameters and statistics as {path: array}."""

    graphdef: nnx.GraphDef
    params: dict[tuple, jax.Array]
    statistics: dict
    batch: dict[str, jax.Array]
    model: DepthModelConfig


@dataclasses.dataclass(frozen=True)
class Step:
    """What the two updates gave.

    Gradients and parameters are keyed by PyTorch's file and name, in its layout; gradients of what was not
    differentiated are zero.
    """

    flow_aux: FlowAux
    depth_aux: DepthAux
    flow_gradients: dict[str, np.ndarray]
    depth_gradients: dict[str, np.ndarray]
    params: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]


def load_start(golden: GoldenCases) -> Start:
    """Builds the networks with the golden weights."""
    case = golden.arrays("train_step")
    model = DepthModelConfig.endodav("vits", image_shape=tuple(int(n) for n in case["image_shape"]))
    networks = nnx.eval_shape(lambda: TrainingNetworks(model, nnx.Rngs(0), remat=True))
    graphdef, params, statistics = nnx.split(networks, nnx.Param, nnx.BatchStat)

    tensors = {"depth": params_from_torch(golden.state_dict(DEPTH_NETWORK), model)}
    for file in MOTION_FILES:
        tensors = _merged(tensors, motion_params_from_torch(file, golden.state_dict(file)))
    flat = {path: jnp.asarray(array) for path, array in _recipe(_flat(tensors)).items()}

    frames, augmented = (jnp.asarray(case[name])[None] for name in ("frames", "frames_aug"))
    height, width = frames.shape[2:4]
    batch = {
        "frames": frames,
        "frames_augmented": augmented,
        "view_mask": jnp.ones((1, height, width), bool),
        "intrinsics": jnp.array([[0.82 * width, 1.02 * height, width / 2, height / 2]], jnp.float32),
    }
    names = [set(_flat(nnx.to_pure_dict(state))) for state in (params, statistics)]
    assert set(flat) == names[0] | names[1]
    return Start(
        graphdef,
        {path: array for path, array in flat.items() if path in names[0]},
        _nested({path: array for path, array in flat.items() if path in names[1]}),
        batch,
        model,
    )


def run_step(start: Start, learn_intrinsics: bool, phase: str) -> Step:
    """Makes the flow update, then the depth update, each compiled as a whole."""
    config = ObjectiveConfig(learn_intrinsics=learn_intrinsics, **WEIGHTS)
    update = functools.partial(jax.value_and_grad, has_aux=True)
    bound = {"graphdef": start.graphdef, "config": config}
    flow_update = jax.jit(update(functools.partial(flow_objective, **bound)))
    depth_update = jax.jit(update(functools.partial(depth_objective, **bound, projection=phase == "temporal")))

    params = dict(start.params)
    trainable, frozen = _partition(params, ("flow",))
    (_, flow_aux), flow_gradients = flow_update(_nested(trainable), _nested(frozen), start.statistics, start.batch)
    params |= _adam(trainable, _flat(flow_gradients))

    trainable, frozen = _partition(params, (PHASE_GROUPS[phase], *ALWAYS))
    arguments = (_nested(trainable), _nested(frozen), flow_aux.statistics, start.batch)
    (_, depth_aux), depth_gradients = depth_update(*arguments)
    params |= _adam(trainable, _flat(depth_gradients))

    return Step(
        flow_aux,
        depth_aux,
        _torch_names(start, _flat(flow_gradients)),
        _torch_names(start, _flat(depth_gradients)),
        _torch_names(start, params),
        _torch_names(start, _flat(depth_aux.statistics)),
    )


def _recipe(params: dict[tuple, np.ndarray]) -> dict[tuple, np.ndarray]:
    """Changes the weights that the description changes before the update."""
    changed = dict(params)
    for path, value in params.items():
        if path[:2] == ("flow", "heads") and path[-1] == "kernel":
            changed[path] = value * np.float32(FLOW_HEAD_FACTOR)
    last = ("depth", "head", "output", "conv3")
    changed[(*last, "kernel")] = params[(*last, "kernel")] * np.float32(OUTPUT_FACTOR)
    changed[(*last, "bias")] = np.full_like(params[(*last, "bias")], OUTPUT_BIAS)
    return changed


def _partition(params: dict, groups: tuple[str, ...]) -> tuple[dict, dict]:
    trainable = {path: array for path, array in params.items() if group_of(path) in groups}
    return trainable, {path: array for path, array in params.items() if path not in trainable}


def _adam(params: dict, gradients: dict) -> dict:
    optimiser = optax.adam(LEARNING_RATE)
    updates, _ = optimiser.update(gradients, optimiser.init(params), params)
    return optax.apply_updates(params, updates)


def _torch_names(start: Start, arrays: dict[tuple, jax.Array]) -> dict[str, np.ndarray]:
    """Returns arrays of networks by `file/name`, zero where `arrays` has none."""
    everything = start.params | _flat(start.statistics)
    full = {path: np.asarray(arrays[path]) if path in arrays else np.zeros(a.shape) for path, a in everything.items()}
    tree = _nested(full)
    named = {f"depth_model/{name}": value for name, value in torch_from_params(tree["depth"], start.model).items()}
    for file in MOTION_FILES:
        named |= {f"{file}/{name}": value for name, value in torch_from_motion_params(file, tree).items()}
    return named


def _flat(tree: dict, prefix: tuple = ()) -> dict[tuple, jax.Array]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, branch in tree.items() for k, v in _flat(branch, (*prefix, name)).items()}


def _nested(flat: dict) -> dict:
    tree: dict = {}
    for path, value in flat.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree


def _merged(a: dict, b: dict) -> dict:
    return _nested(_flat(a) | _flat(b))
