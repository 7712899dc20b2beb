"""Runs calls in this process and thread: for ``compute(debug=True)`` and for dry runs."""

from __future__ import annotations

import contextlib
import itertools
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
    for call in itertools.chain.from_iterable(todo):
        accept(run_one_here(order, call, distribution.columns(call, call + 1)))


def run_one_here(order: RunOrder, call: int, columns: Sequence[Any]) -> BatchOutcome:
    """Evaluate one call with the items that are its."""
    return Batch(order, call, 1, worker=WORKER, reraise=True).run(columns)


def frozen_where_possible(shared: Any) -> dict[Any, Any]:
    """Give each call its own copy of what can be copied; a debugged call may get anything."""
    packed = dict(shared)
    for place, value in packed.items():
        with contextlib.suppress(Exception):
            packed[place] = transport.frozen(value)
    return packed
