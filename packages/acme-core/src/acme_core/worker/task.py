"""The dask task: takes the request for one batch and returns its outcome, both as pickles.

dask sees two opaque byte strings: it neither traverses arguments nor hashes them.
"""

from __future__ import annotations

import pickle

from acme_core.transport import dask_internals, large_objects, outcome_events, serialization
from acme_core.transport.protocol import BatchOutcome, BatchRequest
from acme_core.worker import environment
from acme_core.worker.contexts import context_in_use
from acme_core.worker.evaluation import BatchEvaluation
from acme_core.worker.failures import describe


def run_batch(pickled: bytes) -> bytes:
    """Run the calls of a batch on this worker.

    Parameters
    ----------
    pickled : bytes
        A pickled `acme_core.transport.protocol.BatchRequest`.

    Returns
    -------
    bytes
        A pickled `acme_core.transport.protocol.BatchOutcome`, also if the worker cannot run the
        batch. Only exceptions that end the process are raised.
    """
    batch: BatchRequest = pickle.loads(pickled)
    worker, n_threads = dask_internals.current_worker() or ("", 1)
    try:
        with context_in_use(batch.ticket, n_threads) as context:
            columns = serialization.loads(large_objects.unpack(batch.columns))
            calls = BatchEvaluation(
                context, batch.first, batch.n_calls, attempt=batch.attempt, worker=worker
            )
            outcome = calls.run(columns)
    except Exception as error:
        outcome = BatchOutcome(batch.first, worker=worker, worker_failure=describe(error))
    environment.note_imports()
    content = large_objects.pack_outcome(outcome, batch.ticket.outcome_folder)
    # Posted and returned: an event may be lost with its connection, a result is fetched then.
    if worker:
        outcome_events.post_outcome(batch.ticket.topic, batch.ticket.run_id, batch.number, content)
    return content
