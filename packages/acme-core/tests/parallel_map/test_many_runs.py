"""A client is used for many runs: when they have ended, nothing of them is left."""

import gc
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap, each, shared
from acme_core.transport import dask_internals, outcome_events

RUNS = 20


def fails(x):
    return 1 // (x - 2)


def drawn():
    yield from range(8)
    raise KeyError("no more items")


def interrupted(**options):
    with suppress(KeyError):
        compute(abs, each(drawn()), n_inputs=20, **options)


def compute(func, *args, on_error="raise", n_inputs="auto", **options):
    pmap = ParallelMap(func, *args, n_inputs=n_inputs, verbose=False, **options)
    with suppress(ComputeError), pmap:
        pmap.compute(on_error=on_error)


MEMORY = {"write_worker_results": False}
KINDS = {
    "in memory": lambda: compute(abs, range(4), **MEMORY),
    "on disk": lambda: compute(abs, range(4)),
    "lists": lambda: compute(len, [[1, 2]] * 200, **MEMORY),
    "failed calls": lambda: compute(fails, range(4), **MEMORY),
    "failed calls on disk": lambda: compute(fails, range(4)),
    "stopped": lambda: compute(fails, range(50), on_error="stop", **MEMORY),
    "interrupted": lambda: interrupted(**MEMORY),
    "large list": lambda: compute(len, shared([1] * 200_000), n_inputs=4, **MEMORY),
    "large array": lambda: compute(np.sum, shared(np.ones(200_000)), n_inputs=4, **MEMORY),
    "large arrays": lambda: compute(np.sum, [np.ones(200_000)] * 4, **MEMORY),
    "large results": lambda: compute(np.zeros, [200_000] * 4, **MEMORY),
}


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def on_client(client):
    """Return what the client's process holds that could belong to runs."""
    loggers = [logging.getLogger(name) for name in ("acme_core", "acme_io", "acme_cluster")]
    return {
        "handlers": sum(len(logger.handlers) for logger in loggers),
        "receivers": len(outcome_events._receivers),
        "futures": len(client.futures),
        "threads": threading.active_count(),
    }


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_runs(workers, kind):
    scheduler = workers.cluster.scheduler
    KINDS[kind]()
    wait_until(lambda: not scheduler.tasks)
    before, n_files = on_client(workers), open_files()
    for _ in range(RUNS):
        KINDS[kind]()
    wait_until(lambda: not scheduler.tasks)
    gc.collect()

    assert on_client(workers) == before
    assert before["receivers"] == before["futures"] == 0
    assert not scheduler.task_groups
    assert not scheduler.get_events(dask_internals.event_topic(workers))
    assert not scheduler.extensions["spans"].spans
    # Some connections of dask may have been opened, but none for each run.
    assert open_files() < n_files + RUNS / 2


def test_workers_drop_what_runs_brought(workers):
    def on_worker(dask_worker):
        from dask.utils import key_split

        from acme_core.worker import contexts

        state = dask_worker.state
        mapped = Path("/proc/self/maps").read_text().count("acme-handover")
        open_files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        files = sum("acme" in name and name.endswith((".h5", ".pickle")) for name in open_files)
        return (
            len(contexts._loaded),
            mapped,
            files,
            len(state.data),
            sum("acme-" in str(key) for key in state.tasks),
            key_split.cache_info().currsize,
        )

    for run in KINDS.values():
        run()
    assert max(loaded for loaded, *_ in workers.run(on_worker).values()) > 0
    wait_until(lambda: set(workers.run(on_worker).values()) == {(0,) * 6})


def test_dropped_context_is_loaded_again(workers):
    """A worker that has no call for a while during a run continues with the function."""

    def forget(_x):
        from acme_core.worker import contexts

        with contexts._lock:
            contexts._loaded.clear()
        time.sleep(0.05)
        return os.getpid()

    with ParallelMap(forget, range(20), write_worker_results=False, verbose=False) as pmap:
        assert len(pmap.compute()) == 20


def test_context_in_use_is_kept(workers):
    def outlast(seconds):
        from acme_core.worker import contexts

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            (loaded,) = [one for one in contexts._loaded.values() if one.n_users]
            loaded.last_used = float("-inf")
            time.sleep(0.05)
        return True

    wait = 2.0  # some looks of the thread that drops contexts
    with ParallelMap(outlast, [wait] * 2, write_worker_results=False, verbose=False) as pmap:
        assert pmap.compute() == [True, True]
