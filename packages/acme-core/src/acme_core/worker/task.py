"""The dask task: takes the order of one batch, gives back its outcome, both as pickles.

dask sees two opaque byte strings, so that it neither walks through arguments nor hashes them. A
worker keeps the order of the run that it last worked on; a restarted worker loads it again.
"""

from __future__ import annotations

import pickle
import threading

from acme_core.errors import OutdatedWorkerError
from acme_core.transport import dask_internals, large_objects, outcome_events, serialization
from acme_core.transport.protocol import BatchOutcome, BatchRequest, RunContext, RunTicket
from acme_core.worker import environment
from acme_core.worker.evaluation import BatchEvaluation
from acme_core.worker.failures import describe

_lock = threading.Lock()
_orders: dict[str, RunContext] = {}
_KEPT_ORDERS = 4


def run_batch(pickled: bytes) -> bytes:
    """Run the calls of a batch on this worker.

    Parameters
    ----------
    pickled : bytes
        A pickled `acme_core.transport.protocol.BatchRequest`.

    Returns
    -------
    bytes
        A pickled `acme_core.transport.protocol.BatchOutcome`. No exception leaves this function
        but those that end the process.
    """
    batch: BatchRequest = pickle.loads(pickled)
    worker, n_threads = dask_internals.current_worker() or ("", 1)
    try:
        order = _order_of(batch.ticket, n_threads)
        columns = serialization.loads(large_objects.unpack(batch.columns))
        calls = BatchEvaluation(
            order, batch.first, batch.n_calls, attempt=batch.attempt, worker=worker
        )
        outcome = calls.run(columns)
    except Exception as error:
        outcome = BatchOutcome(batch.first, worker=worker, worker_failure=describe(error))
    environment.note_imports()
    content = large_objects.pack_outcome(outcome, batch.ticket.outcome_folder)
    if worker:
        outcome_events.post_outcome(batch.ticket.topic, batch.ticket.run_id, batch.number, content)
    return content


def _order_of(ticket: RunTicket, n_threads: int) -> RunContext:
    """Load the order of a run, once per run and worker."""
    with _lock:
        environment.enter_client_environment(ticket.cwd, ticket.sys_path)
        order = _orders.get(ticket.run_id)
        if order is None:
            changed = environment.changed_modules()
            if changed:
                raise OutdatedWorkerError(", ".join(sorted(changed)))
            environment.limit_threads(environment.worker_cores(n_threads))
            order = _orders[ticket.run_id] = serialization.loads(
                large_objects.unpack(ticket.context)
            )
            while len(_orders) > _KEPT_ORDERS:
                _orders.pop(next(iter(_orders)))
        return order
