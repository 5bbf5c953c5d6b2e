"""A run's checkpoints: the newest whole step is found, damage is noticed, what is restored is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from endodav_jax.errors import UserError
from endodav_jax.training.run_checkpoint import checksums, open_run


def bits_of(number: int) -> np.ndarray:
    """Random bits, which no compression changes, so that a test can find them on disk."""
    return np.random.default_rng(number).integers(0, 2**32, (64, 64), np.uint32)


def state_of(number: int):
    params = {"pose": {"pose.conv.0.kernel": jnp.full((3, 2), number, jnp.float32)}}
    return {
        "params": params,
        "opt": optax.adam(1e-3).init(params),
        "step": jnp.int32(number),
        "statistics": {"pose": {"blocks": {0: jnp.asarray(bits_of(number))}}},
    }


def assert_same(found, wanted):
    assert checksums(found) == checksums(wanted)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)


@pytest.fixture
def run(tmp_path):
    with open_run(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state_of(step), {"data": {"next_batch": step}})
            checkpoints.wait()
    return tmp_path


def test_the_newest_step_comes_back_bit_for_bit_with_its_record(run):
    with open_run(run) as checkpoints:
        step, state, record = checkpoints.restore(state_of(0))
    assert step == 3
    assert_same(state, state_of(3))
    assert record["data"] == {"next_batch": 3}


def test_only_the_newest_steps_are_kept(run):
    assert sorted(path.name for path in (run / "last").iterdir()) == ["00000002", "00000003"]


def test_a_new_folder_has_nothing_to_restore(tmp_path):
    with open_run(tmp_path) as checkpoints:
        assert checkpoints.restore(state_of(0)) is None


def data_file(folder):
    """The largest file below a step: its arrays."""
    return max((path for path in (folder / "state").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_byte(folder):
    """Turns one bit of an array's bytes over; Orbax itself does not notice."""
    some = bits_of(3).tobytes()[:64]
    for path in (p for p in (folder / "state").rglob("*") if p.is_file()):
        content = path.read_bytes()
        if some in content:
            place = content.index(some) + 1
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            return
    raise AssertionError("the array's bytes are in no file")


def truncate(folder):
    path = data_file(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def forget_the_record(folder):
    (folder / "record" / "metadata").write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, forget_the_record, flip_a_byte])
def test_a_damaged_newest_step_is_named_and_the_one_before_used(run, damage, capsys):
    damage(run / "last" / "00000003")
    with open_run(run) as checkpoints:
        step, state, _ = checkpoints.restore(state_of(0))
        assert_same(state, state_of(2))
        checkpoints.save(3, state_of(3), {"data": {}})  # the damaged one is not in the way
    assert step == 2
    assert "00000003: damaged" in capsys.readouterr().err
    with open_run(run) as checkpoints:
        assert_same(checkpoints.restore(state_of(0))[1], state_of(3))


def test_where_every_step_is_damaged_the_run_does_not_start_afresh(run):
    for step in ("00000002", "00000003"):
        truncate(run / "last" / step)
    with open_run(run) as checkpoints, pytest.raises(UserError, match="none of its steps can be read"):
        checkpoints.restore(state_of(0))
