"""Renders scenes into their cache in several processes, before a training that needs them faster than one renders."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.sharedctypes import Synchronized

import numpy as np
from tqdm import tqdm

from endodav_jax.pretraining.scenes import PhantomScenes, on_the_cpu


def render_ahead(sources: Sequence[PhantomScenes], workers: int) -> None:
    """Renders all scenes that the caches of `sources` lack, on CPUs, in `workers` processes.

    Each process gets whole pieces of few sources, since each source is a program to compile.

    Args:
      sources: with a `cache`.
      workers: processes; each runs on one core.
    """
    missing = [[scene for scene in range(len(source)) if not source.path(scene).exists()] for source in sources]
    frames = np.array([len(part) * source.phantom.frames for part, source in zip(missing, sources, strict=True)])
    if not frames.sum():
        return
    pieces = np.maximum(1, np.round(workers * frames / frames.sum())).astype(int)
    tasks = [
        (source, [int(scene) for scene in piece])
        for source, part, count in zip(sources, missing, pieces, strict=True)
        for piece in np.array_split(part, count)
        if len(piece)
    ]
    context = multiprocessing.get_context("spawn")
    started = context.Value("i", 0)
    with concurrent.futures.ProcessPoolExecutor(min(workers, len(tasks)), context, _on_one_core, (started,)) as pool:
        # The longest first, so that the processes end together.
        tasks.sort(key=lambda task: -len(task[1]) * task[0].phantom.frames)
        waiting = {pool.submit(_render, *task) for task in tasks}
        total = sum(len(part) for part in missing)
        try:
            with tqdm(total=total, desc="rendering scenes", mininterval=5.0) as bar:
                while waiting:
                    done, waiting = concurrent.futures.wait(waiting, 2.0, concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        bar.update(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _on_one_core(started: "Synchronized[int]") -> None:
    """Ties a new process to one core: several programs that each use all cores are in each other's way."""
    on_the_cpu()
    with started.get_lock():
        number = started.value
        started.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def _render(source: PhantomScenes, scenes: list[int]) -> int:
    for scene in scenes:
        source[scene]
    return len(scenes)
