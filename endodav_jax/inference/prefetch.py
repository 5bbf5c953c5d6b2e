"""Reads ahead in a thread, so that frames are decoded while others are processed."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], ahead: int) -> Generator[Item, None, None]:
    """Yields `items`, reading up to `ahead` of them in advance.

    An exception in the source is raised here after the items before it.  Closing the iterator stops the thread at
    the item it is reading, and the source is closed in that thread, the only one that ever runs it.
    """
    slots: queue.Queue = queue.Queue(ahead)
    stopped = threading.Event()

    def put(kind: str, value) -> bool:
        while not stopped.is_set():
            try:
                slots.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        source: Iterable[Item] = ()
        try:
            source = iter(items)
            for item in source:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if hasattr(source, "close"):
                source.close()

    thread = threading.Thread(target=read, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = slots.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()
