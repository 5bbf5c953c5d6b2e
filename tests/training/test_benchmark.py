"""The benchmark of a training step takes the published run, changes what it is told, and counts a step's operations."""

import argparse
import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from endodav_jax.data.contract import check_batch
from endodav_jax.errors import UserError
from endodav_jax.training.initial import initial_networks
from endodav_jax.training.partition import join_groups
from tests.training.toy import LENGTH, SIZE, toy_batch, toy_config

TOOLS = Path(__file__).parents[2] / "tools"
TOY = ["--preset", "vitt", "--clip-length", "2", "--size", "64x64", "--image-shape", "28x28"]


@pytest.fixture(scope="module")
def train():
    """The module `tools/benchmarks/train.py`."""
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location("benchmark_train", TOOLS / "benchmarks" / "train.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


def parsed(train, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(arguments)


def test_it_measures_the_published_run_unless_told_otherwise(train):
    args = parsed(train)
    config = train.configuration(args)
    assert (config.model.family, config.model.preset, config.model.image_shape) == ("endodav", "vits", (224, 280))
    assert (config.data.clip_length, config.data.batch_size, args.size) == (16, 1, (256, 320))
    assert (args.phases, config.train.precision) == (["spatial", "temporal"], "float32")
    assert train.configuration(parsed(train, "--family", "endodac")).data.batch_size == 8


def test_precision_is_that_of_all_networks_and_remat_can_be_switched_off(train):
    config = train.configuration(parsed(train, *TOY, "--precision", "bfloat16", "--no-remat"))
    assert config.model.precision == config.train.precision == "bfloat16"
    assert not config.train.remat
    assert not config.train.objective.remat
    assert (config.data.clip_length, config.model.image_shape) == (2, (28, 28))


def test_sizes_that_a_network_cannot_have_are_one_line(train):
    with pytest.raises(UserError, match="--image-shape") as raised:
        train.configuration(parsed(train, "--image-shape", "225x280"))
    assert "\n" not in str(raised.value)


def test_the_made_up_batch_keeps_the_contract(train):
    args = parsed(train, *TOY, "--batch", "2")
    batch = train.made_up_batch(train.configuration(args), args.size)
    check_batch(batch)
    assert batch["frames"].shape == (2, 4, 64, 64, 3)


def test_phases_are_found_by_name(train):
    available = frozenset({"spatial_adapters", "temporal_adapters", "pose"})
    assert train.phase_named("spatial", available).groups == {"spatial_adapters", "pose"}
    assert train.phase_named("temporal", available).projection
    assert train.phase_named("joint", available).groups == available
    with pytest.raises(UserError, match="no such phase"):
        train.phase_named("temporal", frozenset({"spatial_adapters"}))


def test_a_derivative_s_spread_cotangent_is_counted_without_its_zeros(train):
    def convolution(image, kernel):
        return jax.lax.conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    image, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    flops = train._machine.matrix_flops
    forward = flops(jax.make_jaxpr(convolution)(image, kernel).jaxpr)
    both = flops(jax.make_jaxpr(jax.grad(lambda *a: convolution(*a).sum(), (0, 1)))(image, kernel).jaxpr)
    assert forward == 2 * 9 * 3 * 5 * 16
    assert both == 3 * forward


@pytest.mark.slow
@pytest.mark.long
def test_one_run_reports_a_step(train, capsys):
    args = parsed(train, *TOY, "--steps", "1", "--phases", "joint")
    figures = train.measure(train.configuration(args), args.size, args.steps, args.phases)
    joint = figures["phases"]["joint"]
    assert joint["clips_per_second"] == pytest.approx(1 / joint["seconds_per_step"])
    assert joint["share_of_matrix_rate"] > 0
    # Loops count as often as they run, so there is more of it than in XLA's count.
    assert joint["gflop_per_step"] > 0.5 * joint["xla_gflop_loops_once"]
    assert figures["peak_memory"]["process_mb"] > joint["temporary_mb"]
    assert "joint phase" in train.report(figures)


@pytest.mark.slow
def test_a_step_asks_for_no_more_operations_than_its_parts(train):
    """Each network is run as often as the mathematics wants it, and nothing of one update again in the other."""
    config = toy_config(weights="shipped", resnet_layers=10)
    phases = [train.phase_named(name, train.trained_groups(config)) for name in ("spatial", "temporal")]
    parts = train._train_parts.parts_of(config, toy_batch(0, 1), phases)
    counted = train._train_parts.operations(parts)
    updates = {of for of, _ in counted if of}
    assert len(updates) == 3
    for update in updates:
        inner = sum(flops for (of, _), flops in counted.items() if of == update)
        assert counted["", update] == pytest.approx(inner, rel=0.02), update
    # The second update asks for each neighbouring pair's flow once in each direction, though frames share them.  The
    # first needs them both ways for each frame and neighbour, since its batch statistics are those of the pass; half of
    # them with a derivative (two forward passes' worth) before which they are recomputed.
    start = initial_networks(config, None)
    flow = nnx.merge(start.graphdef, join_groups(start.trained, start.frozen), start.statistics, copy=True).flow
    frame = jnp.zeros((1, SIZE, SIZE, 3))
    once = train._machine.matrix_flops(jax.make_jaxpr(lambda a, b: flow(a, b, train=False))(frame, frame).jaxpr)
    for phase in phases:
        found = counted[f"{train._train_parts.DEPTH_UPDATE}, {phase.name}", "flow network, forward"]
        assert found == 2 * (LENGTH + 1) * once
    passes = 2 * LENGTH * (2 + 2 + 1)
    assert 0.9 * passes * once < counted[train._train_parts.FLOW_UPDATE, "flow network, training"] <= passes * once
    # The frozen encoder has no derivative in the temporal phase.
    spatial, temporal = (
        counted[f"{train._train_parts.DEPTH_UPDATE}, {name}", "depth network, training"]
        for name in ("spatial", "temporal")
    )
    assert temporal < 0.8 * spatial
