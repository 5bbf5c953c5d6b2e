"""What the programs change for their process, and that the package itself changes nothing."""

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest

from endodav_jax.errors import EXIT_PREEMPTED, Terminated
from endodav_jax.process import (
    SAME_REQUEST,
    HushedReaders,
    StopsHeld,
    Termination,
    cache_folder,
    use_compilation_cache,
)

UNTOUCHED = """
import gc, importlib, os, pkgutil, signal, sys, warnings
import av, jax, numpy, flax, orbax.checkpoint, grain, scipy.sparse, scipy.special, tensorboardX, tensorflow_datasets
from absl import flags, logging

def state():
    return {
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "hooks": (sys.unraisablehook, sys.excepthook),
        "jax": dict(jax.config.values),
        "absl": (logging.get_verbosity(), flags.FLAGS.is_parsed()),
        "av": av.logging.get_level(),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)],
        "numpy": numpy.geterr(),
        "warnings": list(warnings.filters),
        "precision": jax.numpy.zeros(2).dtype,
    }

before = state()
import endodav_jax
for module in pkgutil.walk_packages(endodav_jax.__path__, "endodav_jax."):
    importlib.import_module(module.name)
model = endodav_jax.load("shipped")
stream = model.stream()
after = state()
print([name for name in before if before[name] != after[name]])
"""


def test_importing_everything_and_constructing_an_estimator_changes_nothing_of_the_process():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", UNTOUCHED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_imports_no_jax():
    program = "import sys, endodav_jax; print(sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """JAX without a compilation cache, and a user's cache folder of its own."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ENDODAV_JAX_CACHE", raising=False)
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_in_the_users_cache_folder(no_cache):
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(cache_folder() / "xla")
    assert cache_folder().is_dir()
    assert cache_folder().is_relative_to(no_cache)


def test_a_folder_that_is_already_set_is_kept(no_cache):
    jax.config.update("jax_compilation_cache_dir", str(no_cache / "mine"))
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(no_cache / "mine")


def test_a_cache_folder_that_cannot_be_made_is_done_without(no_cache, monkeypatch):
    (no_cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_cache / "file"))
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


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
    monkeypatch.setattr(sys, "unraisablehook", HushedReaders(lambda unraisable: told.append(str(unraisable.exc_value))))
    return told


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
    abandon_a_reader(Path(ocp.__file__).parent / "reading.py")
    assert heard == []


def test_everything_else_is_still_heard_of(heard):
    abandon_a_reader("reading.py")
    assert heard == ["could not read"]


def test_sigterm_is_raised_once_however_many_ways_it_comes():
    handler = Termination()
    with pytest.raises(Terminated):
        handler(signal.SIGTERM, None)
    handler(signal.SIGTERM, None)  # a scheduler signals a job and its steps
    handler._last -= SAME_REQUEST
    with pytest.raises(Terminated):
        handler(signal.SIGTERM, None)


TERMINATED_WORKERS = """
import concurrent.futures, multiprocessing, os, signal, sys, threading, time
from endodav_jax import errors, process

def work():
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(time.sleep, 100) for _ in range(3)]
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGTERM)
        waiting[0].result()

if __name__ == "__main__":
    process.set_up()
    sys.exit(errors.exit_code("program", work))
"""


def test_sigterm_ends_worker_processes_too(tmp_path):
    (tmp_path / "program.py").write_text(TERMINATED_WORKERS)
    done = subprocess.run([sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (EXIT_PREEMPTED, "program: stopped by SIGTERM\n")


FORKED = """
import os, signal, time
from endodav_jax import process
process.set_up()
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
time.sleep(0.5)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_is_ended_by_sigterm_as_ever():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM}\n", "")


@pytest.fixture
def terminable():
    """As in the programs; a process in the background of a shell starts with SIGINT ignored."""
    handlers = {signal.SIGTERM: Termination(), signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_held_back_except_where_they_may_come(terminable):
    done = []
    with pytest.raises(Terminated), StopsHeld() as stops:
        with stops.let_through():
            done.append("waited")
        signal.raise_signal(signal.SIGTERM)
        done.append("written")
        with stops.let_through():
            done.append("waited again")
    assert done == ["waited", "written"]


def test_what_was_held_back_is_raised_at_the_end(terminable):
    done = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), StopsHeld():
        signal.raise_signal(signal.SIGINT)
        done.append("finished")
    assert done == ["finished"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_outside_the_main_thread_signals_are_left_alone(terminable):
    def work():
        with StopsHeld() as stops, stops.let_through():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
