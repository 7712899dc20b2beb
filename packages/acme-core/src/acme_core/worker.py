"""The dask task: takes the order of one batch, gives back its outcome, both as pickles.

dask sees two opaque byte strings, so that it neither walks through arguments nor hashes them. A
worker keeps the order of the run that it last worked on; a restarted worker loads it again.
"""

from __future__ import annotations

import pickle
import threading
from typing import Any

from acme_core import environment, handover, mail, transport
from acme_core.call import Batch
from acme_core.errors import OutdatedWorkerError
from acme_core.failures import describe
from acme_core.orders import BatchOrder, BatchOutcome, RunOrder, RunTicket

_lock = threading.Lock()
_orders: dict[str, RunOrder] = {}
_KEPT_ORDERS = 4


def run_batch(pickled: bytes) -> bytes:
    """Run the calls of a batch on this worker.

    Parameters
    ----------
    pickled : bytes
        A pickled `acme_core.orders.BatchOrder`.

    Returns
    -------
    bytes
        A pickled `acme_core.orders.BatchOutcome`. No exception leaves this function but those
        that end the process.
    """
    batch: BatchOrder = pickle.loads(pickled)
    worker, n_threads = _this_worker()
    try:
        order = _order_of(batch.ticket, n_threads)
        columns = transport.loads(handover.fetch(batch.columns))
        calls = Batch(order, batch.first, batch.n_calls, attempt=batch.attempt, worker=worker)
        outcome = calls.run(columns)
    except Exception as error:
        outcome = BatchOutcome(batch.first, worker=worker, broken=describe(error))
    environment.note_imports()
    content = handover.leave(outcome, batch.ticket.mailbox)
    if worker:
        mail.post(batch.ticket.topic, batch.ticket.run_id, batch.number, content)
    return content


def _order_of(ticket: RunTicket, n_threads: int) -> RunOrder:
    """Load the order of a run, once per run and worker."""
    with _lock:
        environment.enter(ticket.cwd, ticket.sys_path)
        order = _orders.get(ticket.run_id)
        if order is None:
            changed = environment.changed_modules()
            if changed:
                raise OutdatedWorkerError(", ".join(sorted(changed)))
            environment.limit_threads(environment.worker_cores(n_threads))
            order = _orders[ticket.run_id] = transport.loads(handover.fetch(ticket.order))
            while len(_orders) > _KEPT_ORDERS:
                _orders.pop(next(iter(_orders)))
        return order


def _this_worker() -> tuple[str, int]:
    from distributed import get_worker

    try:
        worker: Any = get_worker()
    except ValueError:
        return "", 1
    return worker.address, worker.state.nthreads
