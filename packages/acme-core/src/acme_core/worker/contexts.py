"""The contexts of the current runs on this worker: loaded at a run's first batch, dropped after it.

A worker does not learn that a run has ended: to tell each one would cost the client a connection
per worker. A context that no batch has used for a while is dropped instead, with its shared
arguments and mapped files. If its run goes on after all, the next batch brings it again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from acme_core.errors import OutdatedWorkerError
from acme_core.transport import dask_internals, large_objects, serialization
from acme_core.transport.protocol import RunContext, RunTicket
from acme_core.worker import environment, garbage

__all__ = ["MOST_CONTEXTS", "UNUSED_SECONDS", "context_in_use"]

MOST_CONTEXTS = 4
"""Contexts to keep, for programs with runs in several threads; one may hold large arguments."""

UNUSED_SECONDS = 5.0
"""Seconds without a batch after which a context is dropped.

Within a run a worker waits milliseconds for its next batch, unless no call is left for it. Loading
a context again costs the state that the function keeps between calls, such as a cache.
"""

# A worker with several threads runs several tasks of one run at a time.
_lock = threading.Lock()


@dataclass
class _Loaded:
    context: RunContext
    n_users: int = 0
    last_used: float = 0.0


# By run id, the oldest first.
_loaded: dict[str, _Loaded] = {}
_cleaning = False


@contextlib.contextmanager
def context_in_use(ticket: RunTicket, n_threads: int) -> Iterator[RunContext]:
    """Yield the context of a run, which is not dropped inside.

    Parameters
    ----------
    ticket : RunTicket
        The run; its context is loaded if this worker does not have it.
    n_threads : int
        Number of threads of this worker.

    Raises
    ------
    OutdatedWorkerError
        If modules that this worker has imported have changed since.
    """
    with _lock:
        loaded = _load(ticket, n_threads)
        loaded.n_users += 1
    try:
        yield loaded.context
    finally:
        with _lock:
            loaded.n_users -= 1
            loaded.last_used = time.monotonic()
            _start_cleaning()


def _load(ticket: RunTicket, n_threads: int) -> _Loaded:
    # For every batch, because the calls of another run may have changed both.
    environment.enter_client_environment(ticket.cwd, ticket.sys_path)
    loaded = _loaded.get(ticket.run_id)
    if loaded is None:
        # Before the function is loaded: it would use the old modules.
        changed = environment.changed_modules()
        if changed:
            raise OutdatedWorkerError(", ".join(sorted(changed)))
        environment.limit_threads(environment.worker_cores(n_threads))
        loaded = _loaded[ticket.run_id] = _Loaded(
            serialization.loads(large_objects.unpack(ticket.context))
        )
        while len(_loaded) > MOST_CONTEXTS:
            _drop(next(iter(_loaded)))
    return loaded


def _drop(run_id: str) -> None:
    del _loaded[run_id]
    dask_internals.forget_keys()


def _start_cleaning() -> None:
    global _cleaning
    if not _cleaning:
        _cleaning = True
        threading.Thread(target=_clean_up, name="acme-contexts", daemon=True).start()


def _clean_up() -> None:
    """Drop unused contexts until none is left."""
    global _cleaning
    while _cleaning:
        time.sleep(UNUSED_SECONDS / 4)
        with _lock:
            latest = time.monotonic() - UNUSED_SECONDS
            unused = [
                run_id
                for run_id, loaded in _loaded.items()
                if not loaded.n_users and loaded.last_used < latest
            ]
            for run_id in unused:
                _drop(run_id)
            _cleaning = bool(_loaded)
    garbage.clean_up()
