"""A loop over the calls of a run as they end.

::

    for call in loop:      ◀── EndedCalls ◀── CallStates ◀── step ◀── engine
        the user's body    ──▶ after each call, once a hundredth of a second: step(wait=False)

There is one thread. The engine runs while the loop asks for the next call, so that generators among
the arguments, signals and debuggers work as in `compute`. While the body runs, the workers have the
batches in flight, two each; when too many outcomes wait to be looked at, they get no others.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from acme_core.run.calls.ended_calls import EndedCall
    from acme_core.run.calls.step import Step
    from acme_core.run.run import Run

    Loop = Generator[EndedCall, None, None]

__all__ = ["as_they_end", "end_at_exit", "end_loops", "loop_over"]

# Seconds from which on the body of a loop took long enough to look after the workers before the
# next call. A look without news takes some microseconds.
_LOOK_SECONDS = 0.01


# What the open loops hold. A generator may be garbage together with all that it refers to, and the
# collector would then take apart a run that is still to be ended: files, thread pools and futures.
_held: set[ExitStack] = set()


def loop_over(calls: Callable[[ExitStack], Iterator[EndedCall]]) -> Loop:
    """Return a generator of calls that can be left at any time, and be collected in any thread.

    Parameters
    ----------
    calls : callable
        Returns the calls, given a stack for what is to end with the loop.
    """
    thread = threading.get_ident()
    with ExitStack() as stack:
        _held.add(stack)
        stack.callback(_held.discard, stack)
        try:
            yield from calls(stack)
        except GeneratorExit as left:
            # The garbage collector may run in dask's event loop, which must not wait for itself.
            if threading.get_ident() != thread:
                end = partial(stack.pop_all().__exit__, GeneratorExit, left, None)
                threading.Thread(target=end, name="acme-loop-end").start()
            raise


def as_they_end(step: Step, run: Run, most_waiting: int) -> Iterator[EndedCall]:
    """Yield the calls of a run as they end.

    Parameters
    ----------
    step : callable
        The step of the run.
    run : Run
        The run.
    most_waiting : int
        Number of outcomes that may wait before the workers get new batches.
    """
    ended, goes_on = run.ended, True
    assert ended is not None
    while goes_on:
        goes_on = step(wait=not ended)
        looked = time.monotonic()
        for call in _paused(run, ended.take()):
            yield call
            if goes_on and time.monotonic() - looked > _LOOK_SECONDS and len(ended) <= most_waiting:
                goes_on = step(wait=False)
                looked = time.monotonic()


def _paused(run: Run, calls: Iterable[EndedCall]) -> Iterator[EndedCall]:
    for call in calls:
        run.paused = True
        try:
            yield call
        finally:
            run.paused = False


def end_loops(loops: Iterable[Loop]) -> None:
    """End the runs of loops that were begun and neither ended nor left."""
    for loop in list(loops):
        # It is running: the argument of a call, or a signal handler, wants to end it.
        with contextlib.suppress(ValueError):
            loop.close()


# All loops of this process: one that a variable of the program keeps is left at its end.
_loops: WeakSet[Loop] = WeakSet()


def end_at_exit(loops: Iterable[Loop]) -> None:
    """Let the end of the program end the runs of loops, before their workers are stopped."""
    _loops.update(loops)
    # Functions that are registered last are called first, those of dask and `acme_cluster` later.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def _end_all() -> None:
    end_loops(_loops)
