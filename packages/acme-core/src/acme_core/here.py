"""Runs calls in this process and thread: for ``compute(debug=True)`` and for dry runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from acme_core import transport
from acme_core.call import Batch
from acme_core.distribution import Distribution
from acme_core.orders import BatchOutcome, RunOrder

WORKER = "this process"


def run_here(
    order: RunOrder,
    distribution: Distribution,
    todo: Sequence[range],
    accept: Callable[[BatchOutcome], object],
) -> None:
    """Evaluate all calls, one after the other; the exception of a call comes out as it is.

    Parameters
    ----------
    order : RunOrder
        The run, with the function itself.
    distribution : Distribution
        The arguments.
    todo : sequence of range
        The calls that are to run, in order.
    accept : callable
        Gets the outcome of each call.
    """
    order = replace(order, shared=frozen_where_possible(order.shared))
    # Where many calls share a file, each batch costs one. They grow from one call on, so that a
    # result that cannot be stored shows at the call that returned it, and end after half a second.
    size = 1
    for calls in todo:
        while calls:
            n_done = _run_batch(order, distribution, calls[:size], accept)
            calls, size = calls[n_done:], 2 * size


def _run_batch(
    order: RunOrder,
    distribution: Distribution,
    calls: range,
    accept: Callable[[BatchOutcome], object],
) -> int:
    """Evaluate some calls until the time of a batch is over; return how many it were."""
    batch = Batch(order, calls.start, len(calls), worker=WORKER, reraise=True)
    # Items are drawn call by call: a generator must not run ahead of the calls.
    columns = (distribution.columns(call, call + 1) for call in calls)
    try:
        batch.evaluate(tuple(_own(column[0]) for column in one) for one in columns)
    finally:  # what is done is kept, also when a call raises or Ctrl-C ends the run
        outcome = batch.close()
        accept(outcome)
    return outcome.n_calls


def run_one_here(order: RunOrder, call: int, columns: Sequence[Any]) -> BatchOutcome:
    """Evaluate one call with its items; the order holds mutable shared values frozen."""
    own = [[_own(item) for item in column] for column in columns]
    return Batch(order, call, 1, worker=WORKER, reraise=True).run(own)


def _own(item: Any) -> Any:
    """Give a call its own copy of an item, as on a worker; the item itself if it has none."""
    with contextlib.suppress(Exception):
        packed = transport.frozen(item)
        return packed.thaw() if isinstance(packed, transport.Frozen) else packed
    return item


def frozen_where_possible(shared: Any) -> dict[Any, Any]:
    """Give each call its own copy of what can be copied; a debugged call may get anything."""
    packed = dict(shared)
    for place, value in packed.items():
        with contextlib.suppress(Exception):
            packed[place] = transport.frozen(value)
    return packed
