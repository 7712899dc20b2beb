"""Calls in this process and thread: for ``compute(debug=True)``, dry runs and memory probes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from acme_core.arguments.distribution import Distribution
from acme_core.transport import serialization
from acme_core.transport.protocol import BatchOutcome, RunContext
from acme_core.worker.evaluation import BatchEvaluation
from acme_core.worker.nesting import running_calls

WORKER = "this process"
"""Name of the worker in the records of these calls."""


def run_in_process(
    context: RunContext,
    distribution: Distribution,
    pending: Sequence[range],
    accept: Callable[[BatchOutcome], object],
    *,
    one_by_one: bool = False,
) -> Iterator[None]:
    """Evaluate calls one after the other; the exception of a call propagates unchanged.

    ``accept`` gets the outcome of each batch, also of the one that an exception ends. The iterator
    stops after each; with ``one_by_one``, a batch is a single call.
    """
    # If many calls share a file, each batch writes one (about 2 ms, measured). Batches grow from a
    # single call, because a result that cannot be stored is reported at the end of its batch:
    # usually an early call has one already, and the run stops there. `BATCH_SECONDS` bounds the
    # loss if the process is killed.
    size = 1
    for calls in pending:
        while calls:
            outcome = run_batch(context, distribution, calls[:size], accept)
            calls, size = calls[outcome.n_calls :], size if one_by_one else 2 * size
            yield


def run_batch(
    context: RunContext,
    distribution: Distribution,
    calls: range,
    accept: Callable[[BatchOutcome], object],
    *,
    attempt: int = 1,
    reraise: bool = True,
) -> BatchOutcome:
    """Evaluate calls until the time of a batch is over; return the outcome that was accepted."""
    batch = BatchEvaluation(
        context, calls.start, len(calls), attempt=attempt, worker=WORKER, reraise=reraise
    )
    # Items are read call by call: a generator must not run ahead of the calls.
    columns = (distribution.columns(call, call + 1) for call in calls)
    try:
        with running_calls():
            batch.evaluate(tuple(_own_copy(column[0]) for column in one) for one in columns)
    finally:  # keeps finished calls if a call raises or Ctrl-C ends the run
        outcome = batch.close()
        accept(outcome)
    return outcome


def run_single_call(context: RunContext, call: int, columns: Sequence[Any]) -> BatchOutcome:
    """Evaluate one call with its items; its exception propagates."""
    items = [[_own_copy(item) for item in column] for column in columns]
    with running_calls():
        return BatchEvaluation(context, call, 1, worker=WORKER, reraise=True).run(items)


def _own_copy(item: Any) -> Any:
    """Return a copy of an item, as on a worker, or the item itself if it cannot be pickled."""
    with contextlib.suppress(Exception):
        packed = serialization.freeze(item)
        return packed.thaw() if isinstance(packed, serialization.Frozen) else packed
    return item
