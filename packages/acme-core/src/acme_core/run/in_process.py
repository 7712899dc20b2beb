"""Calls in this process and thread: for ``compute(debug=True)``, dry runs and memory probes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from acme_core.arguments.distribution import Distribution
from acme_core.transport import serialization
from acme_core.transport.protocol import BatchOutcome, RunContext
from acme_core.worker.evaluation import BatchEvaluation

WORKER = "this process"


def run_in_process(
    context: RunContext,
    distribution: Distribution,
    pending: Sequence[range],
    accept: Callable[[BatchOutcome], object],
) -> None:
    """Evaluate calls one after the other; an exception of a call comes out unchanged.

    Parameters
    ----------
    context : RunContext
        The run.
    distribution : Distribution
        The arguments.
    pending : sequence of range
        The calls to run, in order.
    accept : callable
        Gets the outcome of each batch, also of the one that an exception ends.
    """
    # Where many calls share a file, each batch costs one (about 2 ms, measured). Batches grow from
    # a single call, because a result that cannot be stored shows at the end of its batch: an early
    # one, as most are, then stops the run at its own call. `BATCH_SECONDS` bounds what a killed
    # process loses.
    size = 1
    for calls in pending:
        while calls:
            n_done = _run_batch(context, distribution, calls[:size], accept)
            calls, size = calls[n_done:], 2 * size


def _run_batch(
    context: RunContext,
    distribution: Distribution,
    calls: range,
    accept: Callable[[BatchOutcome], object],
) -> int:
    """Evaluate calls until the time of a batch is over; return their number."""
    batch = BatchEvaluation(context, calls.start, len(calls), worker=WORKER, reraise=True)
    # Items are taken call by call: a generator must not run ahead of the calls.
    columns = (distribution.columns(call, call + 1) for call in calls)
    try:
        batch.evaluate(tuple(_own_copy(column[0]) for column in one) for one in columns)
    finally:  # finished calls are kept, also if a call raises or Ctrl-C ends the run
        outcome = batch.close()
        accept(outcome)
    return outcome.n_calls


def run_single_call(context: RunContext, call: int, columns: Sequence[Any]) -> BatchOutcome:
    """Evaluate one call with its items; raise what it raises."""
    items = [[_own_copy(item) for item in column] for column in columns]
    return BatchEvaluation(context, call, 1, worker=WORKER, reraise=True).run(items)


def _own_copy(item: Any) -> Any:
    """Return a copy of an item, as a worker gets one; the item itself if it cannot be pickled."""
    with contextlib.suppress(Exception):
        packed = serialization.freeze(item)
        return packed.thaw() if isinstance(packed, serialization.Frozen) else packed
    return item
