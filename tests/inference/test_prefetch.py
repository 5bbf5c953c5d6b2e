"""Reading ahead: order, errors, and an end to the thread."""

import threading
import time

import pytest

from endodav_jax.inference.prefetch import prefetch


def test_items_come_in_order_and_no_more_than_asked_are_read_ahead():
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield i

    ahead = prefetch(source(), 3)
    assert [next(ahead) for _ in range(10)] == list(range(10))
    time.sleep(0.05)
    assert len(read) <= 10 + 3 + 2  # three waiting, one in the reader's hand, one just taken
    assert list(ahead) == list(range(10, 100))


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        raise OSError("damaged")

    ahead = prefetch(source(), 4)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="damaged"):
        next(ahead)


def test_closing_stops_the_thread_and_closes_the_source_there():
    closed_in = []

    def source():
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    threads = threading.active_count()
    ahead = prefetch(source(), 2)
    next(ahead)
    ahead.close()
    assert closed_in == ["prefetch"]
    assert threading.active_count() == threads


def test_a_source_that_cannot_begin_is_an_error_and_no_wait():
    class Broken:
        def __iter__(self):
            raise OSError("no such camera")

    with pytest.raises(OSError, match="no such camera"):
        next(prefetch(Broken(), 2))
