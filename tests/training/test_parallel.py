"""What is copied to the devices, and how."""

import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.training import parallel


def test_what_a_step_is_given_it_writes_into_instead_of_holding_it_twice():
    state = parallel.replicate({"weights": jnp.ones((1000, 1000))}, owned=True)
    before = _address(state["weights"])
    step = parallel.DataParallel(lambda state, frozen, batch, phase: jax.tree.map(lambda leaf: leaf + batch, state))
    state = step(state, {}, np.ones((jax.local_device_count(), 1000, 1000), np.float32), None)
    assert _address(state["weights"]) == before
    np.testing.assert_array_equal(parallel.unreplicate(state)["weights"], np.full((1000, 1000), 2, np.float32))


def test_a_copy_leaves_its_origin_alone_when_it_is_given_away():
    origin = jnp.ones((100, 100))
    copy = parallel.replicate(origin, owned=True)
    jax.jit(lambda array: array + 1, donate_argnums=0)(copy)
    np.testing.assert_array_equal(origin, np.ones((100, 100)))


def _address(array: jax.Array) -> int:
    return array.addressable_shards[0].data.unsafe_buffer_pointer()
