"""Runs the calls of a run on the workers of a client: everything around the engine.

::

    LargeObjects (files) ─▶ RunTicket ─▶ Engine ─▶ outcomes ─▶ CallStates, Progress
                                           └─ workers with outdated modules: restart, once
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from acme_cluster.backend import remove_with
from acme_core.arguments.distribution import ArgumentKey
from acme_core.engine.engine import Engine
from acme_core.errors import ModulesChangedError, OutdatedWorkerError
from acme_core.run.progress import Progress
from acme_core.run.signals import sigterm_as_exception
from acme_core.transport import dask_internals, serialization
from acme_core.transport.large_objects import LargeObjects
from acme_core.transport.mapped_arrays import MappedArray, is_mappable
from acme_core.transport.protocol import BatchOutcome, RunContext, RunTicket
from acme_core.worker import environment

if TYPE_CHECKING:
    from distributed import Client

    from acme_core.run.calls.step import Step
    from acme_core.run.connection import UsableClient
    from acme_core.run.run import Run
    from acme_core.run.spec import RunSpec
    from acme_core.run_options import ComputeOptions

logger = logging.getLogger(__name__)


@contextmanager
def dispatched(
    found: UsableClient,
    run: Run,
    spec: RunSpec,
    shared: Mapping[ArgumentKey, Any],
    options: ComputeOptions,
) -> Iterator[Step]:
    """Run all pending calls on the workers of a client, step by step, while inside.

    Outcomes go to the run's call states.

    Raises
    ------
    ModulesChangedError
        If workers that ACME did not start have imported modules that have changed since.
    """
    client = found.client
    ours = dask_internals.started_by_acme(client)
    # Workers check this themselves before their first batch, which costs no round trip. Workers
    # that ACME may not restart are asked first: no call runs before the error.
    if not ours:
        _refuse_outdated(client)
    folder = _shared_folder(found.workers, run.output_dir)
    files = LargeObjects(folder, partial(remove_with, client))
    try:
        context = spec.context(
            run.seed,
            _mapped(shared, files),
            sink=run.sink,
            stop_at_failure=options.on_error == "stop",
        )
        states, n_calls = run.call_states, spec.distribution.n_calls
        bar = Progress(n_calls, spec.options.verbose is not False, states.n_done)
        with bar as progress, sigterm_as_exception():

            def accept(outcome: BatchOutcome, again: set[int]) -> None:
                done, failed = states.accept(outcome, again)
                progress.add(done, failed - len(again))

            engine = Engine(
                client,
                _ticket(client, run, context, files),
                spec.distribution,
                files,
                workers=found.workers,
                retries=options.retries,
                stop_at_failure=context.stop_at_failure,
                pending=states.pending(),
                # ACME's schedulers run in this process, so the workers are reachable; others may be
                # behind a tunnel.
                direct=ours,
                accept=accept,
            )
            with engine.running(meanwhile=run.get_ready):
                yield _Steps(engine, client, may_restart=ours)
    finally:
        files.close()
        dask_internals.forget_keys()


class _Steps:
    """The steps of an engine; workers with outdated modules are restarted, once."""

    def __init__(self, engine: Engine, client: Client, *, may_restart: bool) -> None:
        self._engine, self._client = engine, client
        self._may_restart, self._restarted = may_restart, False

    def __call__(self, *, wait: bool = True) -> bool:
        try:
            return self._engine.step(wait=wait)
        except OutdatedWorkerError as outdated:
            if not self._may_restart:
                raise _outdated(self._client, str(outdated)) from None
            if self._restarted:
                raise
            self._restarted = True
            logger.info(
                f"<ParallelMap> INFO: {outdated} changed on disk; the workers are restarted"
            )
            # A worker reports it before its first call of the run.
            self._engine.take_back_all()
            self._client.restart()
            return True


def _ticket(client: Client, run: Run, context: RunContext, files: LargeObjects) -> RunTicket:
    return RunTicket(
        # Not the id on record, which a resumed run keeps: dask would return finished tasks of the
        # earlier run for equal keys, and workers would use its cached function.
        run_id=secrets.token_hex(8),
        topic=dask_internals.event_topic(client),
        cwd=os.getcwd(),
        sys_path=tuple(sys.path),
        context=files.pack(serialization.dumps(context)),
        # Only values in memory travel with outcomes; receipts of files are small.
        outcome_folder=files.outcome_folder() if run.store is None else None,
    )


def _refuse_outdated(client: Client) -> None:
    """Raise ModulesChangedError if a worker's module has changed on disk since its import."""
    found = client.run(environment.changed_modules).values()
    changed = sorted({name for names in found for name in names})
    if changed:
        raise _outdated(client, ", ".join(changed))


def _outdated(client: Client, names: str) -> ModulesChangedError:
    return ModulesChangedError(
        f"<ParallelMap> the workers of {client} have imported {names}, which changed on disk "
        "since. ACME did not start this client, and a restart would destroy its other data: "
        "call client.restart() and compute again."
    )


def _mapped(shared: Mapping[ArgumentKey, Any], files: LargeObjects) -> dict[ArgumentKey, Any]:
    return {
        place: MappedArray(value, files.save) if is_mappable(value) else value
        for place, value in shared.items()
    }


def _shared_folder(workers: Iterable[str], output_dir: str | None) -> Path | None:
    """Return a folder that all workers can read, or `None` if they all run on this machine."""
    # By address, because a host name may have several spellings. Local workers get a loopback
    # address; one that uses another address of this machine only takes the slower way.
    hosts = {urlsplit(address).hostname for address in workers}
    if hosts <= {"127.0.0.1", "localhost", "::1", None}:
        return None
    return Path(output_dir) if output_dir is not None else Path.cwd()
