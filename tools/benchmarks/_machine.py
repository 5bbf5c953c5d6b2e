"""What the machine can do and what a program asks of it: matrix-product rates, operations counted, peak memory."""

import math
import platform
import resource
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.extend import core

REPEATS = 5


def describe() -> dict:
    """The device and the versions that the figures were measured with."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "backend": jax.default_backend(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def matrix_rate(dtype: jnp.dtype, clock: Callable[[], float] = time.perf_counter) -> float:
    """GFLOP/s of a large square matrix product in full precision, the best of a few, by a clock in seconds."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest" if dtype == jnp.float32 else None))
    product(a).block_until_ready()
    seconds = []
    for _ in range(REPEATS):
        started = clock()
        product(a).block_until_ready()
        seconds.append(clock() - started)
    return 2 * size**3 / min(seconds) / 1e9


def memory_rate(clock: Callable[[], float] = time.perf_counter) -> float:
    """GB/s of memory: a large array is read and written in place, the best of a few, by a clock in seconds."""
    array = jnp.ones(2**26, jnp.float32)  # far larger than any cache
    add_one = jax.jit(lambda array: array + 1, donate_argnums=0)
    array = add_one(array).block_until_ready()
    seconds = []
    for _ in range(REPEATS):
        started = clock()
        array = add_one(array).block_until_ready()
        seconds.append(clock() - started)
    return 2 * array.nbytes / min(seconds) / 1e9


def matrix_flops(jaxpr: core.Jaxpr) -> int:
    """Floating-point operations of all matrix products and convolutions; loops count as often as they run.

    XLA's own count takes the body of a loop only once, which is why this one is needed too.
    """
    return sum(times * _flops(equation) for equation, times in _products(jaxpr))


def matrix_bytes(jaxpr: core.Jaxpr) -> int:
    """Bytes that all matrix products and convolutions read and write if none finds its operands in a cache."""
    return sum(
        times
        * sum(variable.aval.size * variable.aval.dtype.itemsize for variable in equation.invars + equation.outvars)
        for equation, times in _products(jaxpr)
    )


def _flops(equation: core.JaxprEqn) -> int:
    params = equation.params
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return 2 * inner * equation.outvars[0].aval.size
    kernel = equation.invars[1].aval
    channels_out = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
    # Zeros that a derivative inserts into its cotangent are not multiplied.
    spread = math.prod(params["lhs_dilation"])
    return 2 * kernel.size // channels_out * equation.outvars[0].aval.size // spread


def _products(jaxpr: core.Jaxpr, times: int = 1) -> Iterator[tuple[core.JaxprEqn, int]]:
    """Every matrix product and convolution, and how often it runs."""
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name in ("dot_general", "conv_general_dilated"):
            yield equation, times
        repeats = params["length"] if name == "scan" else 1
        for inner in _inner_jaxprs(params):
            yield from _products(inner, times * repeats)


def _inner_jaxprs(params: dict) -> Iterator[core.Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def peak_memory() -> dict:
    """Peak memory so far in MB, of this process and, if the device reports it, of the device."""
    figures = {"process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        figures["device_mb"] = statistics["peak_bytes_in_use"] / 2**20
    return figures
