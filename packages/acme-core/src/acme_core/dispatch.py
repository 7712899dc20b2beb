"""Sends a run to the workers of a client: what surrounds the engine.

The ticket by which workers get at the function, where large arguments lie, the progress bar, and
what has to be right about workers that were used before.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from acme_cluster.backend import remove_with
from acme_core import environment, transport
from acme_core.distribution import Distribution, Place
from acme_core.engine import Engine
from acme_core.errors import ModulesChangedError, OutdatedWorkerError
from acme_core.handover import Handover
from acme_core.mail import topic_of
from acme_core.mapped import MappedArray, is_mappable
from acme_core.orders import BatchOutcome, RunOrder, RunTicket
from acme_core.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

    from acme_core.run import Run

logger = logging.getLogger(__name__)


def dispatch(
    client: Client,
    run: Run,
    order: RunOrder,
    distribution: Distribution,
    *,
    retries: int,
    progress: bool,
    workers: Mapping[str, int],
) -> None:
    """Run all calls on the workers of a client; outcomes go to the ledger of the run.

    Parameters
    ----------
    client : distributed.Client
        Its workers evaluate the calls.
    run : Run
        Keeps the outcomes.
    order : RunOrder
        The function and its shared arguments.
    distribution : Distribution
        The arguments.
    retries : int
        How often a failed call is tried again.
    progress : bool
        Whether to show how far the run is.
    workers : mapping of str to int
        Addresses of the workers and their numbers of threads.

    Raises
    ------
    ModulesChangedError
        If a client that is not ACME's has workers with outdated modules.
    """
    ours = started_by_acme(client)
    if not ours:
        _refuse_outdated(client)
    handover = Handover(_shared_folder(workers, run.output_dir), partial(remove_with, client))
    try:
        order = replace(order, shared=_mapped(order.shared, handover))
        ticket = RunTicket(
            run.info.run_id,
            topic_of(client),
            os.getcwd(),
            tuple(sys.path),
            handover.pack(transport.dumps(order)),
            handover.mailbox() if run.store is None else None,
        )
        n_done = run.ledger.n_done
        with Progress(distribution.n_calls, progress, n_done) as shown, _sigterm_as_exception():

            def accept(outcome: BatchOutcome, again: set[int]) -> None:
                done, failed = run.ledger.accept(outcome)
                shown.add(done, failed - len(again))

            engine = Engine(
                client,
                ticket,
                distribution,
                handover,
                workers=workers,
                retries=retries,
                stop_at_failure=order.stop_at_failure,
                todo=run.ledger.todo(),
                # The scheduler of our clusters is in this process. Elsewhere there may be a tunnel.
                direct=ours,
                accept=accept,
            )
            try:
                engine.run(meanwhile=run.get_ready)
            except OutdatedWorkerError as outdated:
                if not ours:
                    raise _outdated(client, str(outdated)) from None
                logger.info(
                    f"<ParallelMap> INFO: {outdated} changed on disk; the workers are restarted"
                )
                client.restart()
                engine.run()
    finally:
        handover.close()


def _refuse_outdated(client: Client) -> None:
    """Check that no worker uses a module that has changed on disk since it was imported."""
    found = client.run(environment.changed_modules).values()
    changed = sorted({name for names in found for name in names})
    if changed:
        raise _outdated(client, ", ".join(changed))


def _outdated(client: Client, names: str) -> ModulesChangedError:
    return ModulesChangedError(
        f"<ParallelMap> the workers of {client} have imported {names}, which changed on disk "
        "since. This client was not started by ACME, and a restart would destroy what else it "
        "keeps: call client.restart() and compute again."
    )


def _mapped(shared: Mapping[Place, Any], handover: Handover) -> dict[Place, Any]:
    return {
        place: MappedArray(value, handover.save) if is_mappable(value) else value
        for place, value in shared.items()
    }


def started_by_acme(client: Client) -> bool:
    """Whether the workers of a client were started by acme_cluster."""
    return type(client.cluster).__module__.startswith("acme_cluster")


def _shared_folder(workers: Iterable[str], output_dir: str | None) -> Path | None:
    """Folder in which all workers can read; `None` if they are on this machine."""
    hosts = {urlsplit(address).hostname for address in workers}
    if hosts <= {"127.0.0.1", "localhost", "::1", None}:
        return None
    return Path(output_dir) if output_dir is not None else Path.cwd()


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM end the run like Ctrl-C, so that workers are stopped and results completed."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def end(number: int, frame: FrameType | None) -> Any:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
