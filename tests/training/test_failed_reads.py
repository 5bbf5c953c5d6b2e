"""Readers that Orbax abandons are thrown away without a word; what anything else has to say is heard."""

import asyncio
import gc
import sys
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from endodav_jax.training.failed_reads import abandoned_readers_hushed

READER = """
async def read(data):
    try:
        await data
    except BaseException as error:
        raise ValueError("could not read") from error
"""


@pytest.fixture
def heard(monkeypatch):
    """What the hook before ours is told."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(str(unraisable.exc_value)))
    return told


def fail_to_read():
    with pytest.raises(OSError, match="truncated"), abandoned_readers_hushed():
        raise OSError("truncated")


def abandon_a_reader(file):
    """Throws a coroutine away that waits for data, as if it had been defined in `file`."""
    names = {}
    exec(compile(READER, str(file), "exec"), names)
    loop = asyncio.new_event_loop()
    reader = names["read"](loop.create_future())
    reader.send(None)
    loop.close()
    del reader
    gc.collect()


def test_what_a_failed_read_leaves_is_not_heard_of(heard):
    fail_to_read()
    abandon_a_reader(Path(ocp.__file__).parent / "reading.py")
    assert heard == []


def test_everything_else_is_still_heard_of(heard):
    fail_to_read()
    fail_to_read()
    abandon_a_reader("reading.py")
    assert heard == ["could not read"]


def test_a_read_that_succeeds_changes_nothing(heard):
    before = sys.unraisablehook
    with abandoned_readers_hushed():
        pass
    assert sys.unraisablehook is before
    abandon_a_reader(Path(ocp.__file__).parent / "reading.py")
    assert heard == ["could not read"]
