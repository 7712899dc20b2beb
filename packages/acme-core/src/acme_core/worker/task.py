"""The dask task: takes the request for one batch and returns its outcome, both as pickles.

dask sees two opaque byte strings: it neither traverses arguments nor hashes them.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

from acme_core.transport import dask_internals, large_objects, outcome_events, serialization
from acme_core.transport.outcome_events import LARGEST_PART, Outbox
from acme_core.transport.protocol import BatchOutcome, BatchRequest, RunContext
from acme_core.worker import environment, reported_batch
from acme_core.worker.contexts import context_in_use
from acme_core.worker.evaluation import BatchEvaluation
from acme_core.worker.failures import describe
from acme_core.worker.nesting import running_calls
from acme_core.worker.reported_batch import ReportedBatch


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
    ticket = batch.ticket
    alone = dask_internals.has_process_of_its_own()
    outbox = Outbox(ticket.topic, ticket.run_id, batch.number) if worker else None
    try:
        with context_in_use(batch.ticket, n_threads) as context, running_calls(nothing_else=alone):
            columns = serialization.loads(large_objects.unpack(batch.columns))
            outcome = _evaluate(batch, context, columns, worker, outbox)
    except Exception as error:
        outcome = BatchOutcome(batch.first, worker=worker, worker_failure=describe(error))
    environment.note_imports()
    content = large_objects.pack_outcome(outcome, batch.ticket.outcome_folder)
    # Posted and returned: an event may be lost with its connection, a result is fetched then.
    if outbox is not None:
        outbox.post_outcome(content)
    return content


def _evaluate(
    batch: BatchRequest,
    context: RunContext,
    columns: Sequence[Any],
    worker: str,
    outbox: Outbox | None,
) -> BatchOutcome:
    """Evaluate the calls of a batch; on a worker, report them in parts."""
    if outbox is None:
        return BatchEvaluation(context, batch.first, batch.n_calls, attempt=batch.attempt).run(
            columns
        )

    def report(part: BatchOutcome) -> bool:
        # Files have their final names already: nothing but their receipts can be lost.
        largest = LARGEST_PART if part.receipt is None else math.inf
        content = large_objects.pack_outcome(part, batch.ticket.outcome_folder, largest)
        if len(content) > largest:
            return False
        outbox.post_part(content)
        return True

    evaluation = ReportedBatch(
        context,
        batch.first,
        batch.n_calls,
        attempt=batch.attempt,
        worker=worker,
        seconds=batch.seconds,
        announce=batch.announce,
        report=report,
        cancelled=dask_internals.cancellation(),
    )
    key = (batch.ticket.run_id, batch.number)
    if not reported_batch.begin(key, evaluation):
        evaluation.abort()
        return BatchOutcome(batch.first, worker=worker)
    try:
        return evaluation.run(columns)
    finally:
        reported_batch.end(key)


def take_back(topic: str, run_id: str, numbers: Sequence[int], dask_worker: Any) -> None:
    """Take back what batches on this worker have not begun, and post where each one ends.

    It runs in the worker's event loop, beside the thread of the calls.
    """
    post = dask_internals.poster(dask_worker)
    for number in numbers:
        call = reported_batch.take_back((run_id, number))
        if call is not None:
            outcome_events.post_taken_back(post, topic, run_id, number, call)
