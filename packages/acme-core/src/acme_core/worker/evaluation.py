"""Evaluates the calls of one batch, one after the other.

::

    for each call:  new arguments ─▶ user's function ─▶ value ─▶ writer (files) or outcome
                         │                 │                          │
                         └── an exception at any point is the failure of that call

While a long call runs, another thread may report the calls before it (`reported_batch`).

``compute(debug=True)`` runs its calls through the same code, in the client's process.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_core.transport.mapped_arrays import MappedArray
from acme_core.transport.protocol import BatchOutcome, CallFailure, RunContext
from acme_core.transport.serialization import Frozen, FrozenColumn, freeze_result, immutable_types
from acme_core.worker.failures import describe
from acme_core.worker.peak_memory import PeakMemory
from acme_io.backend import CallReport

if TYPE_CHECKING:
    from acme_core.arguments.distribution import ArgumentKey
    from acme_io.backend import BatchReceipt

BATCH_SECONDS = 0.5
"""Seconds after which a batch ends with its current call, unless its request says otherwise.

The other calls are sent again. It bounds the cost of a wrong estimate of run times.
"""

# Looked up once: it is tested after every call.
_IMMUTABLE = immutable_types()


def generator_for(seed: int, call: int) -> np.random.Generator:
    """Return the random generator of a call, which depends only on the seed and its number.

    Parameters
    ----------
    seed : int
        Seed of the run.
    call : int
        Number of the call.

    Returns
    -------
    numpy.random.Generator
        Seeded by child ``call`` of ``numpy.random.SeedSequence(seed)``, as ``spawn`` makes it.
    """
    # `spawn` makes children in order; the key gives any of them directly.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(call,)))


class CallArguments:
    """Makes the arguments of each call of a run, from its context and the items of the call."""

    def __init__(self, context: RunContext) -> None:
        template = context.template
        self._context = context
        self._template = template
        self._distributed_names = template.distributed_names
        # Distributed arguments are None here, until a call puts its items in their places.
        self._positional = [context.shared.get(i) for i in range(template.n_positional)]
        self._keywords = {p: v for p, v in context.shared.items() if isinstance(p, str)}
        self._frozen = {
            p: v for p, v in context.shared.items() if isinstance(v, Frozen | MappedArray)
        }
        # The usual case, made fast: the distributed arguments come first, and all others are
        # immutable and the same for every call.
        n_first = len(template.places)
        self._rest = tuple(self._positional[n_first:])
        self._plain = (
            template.places == tuple(range(n_first))
            and not self._frozen
            and template.rng is None
            and not isinstance(template.task_id, int)
        )

    def for_call(self, call: int, items: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return positional and keyword arguments of one call, with new mutable objects."""
        template = self._template
        if self._plain:
            args = (*items, *self._rest) if self._rest else items
            if template.task_id is None:
                return args, self._keywords
            return args, {**self._keywords, str(template.task_id): call}
        args, kwargs = self._positional.copy(), self._keywords.copy()
        for place, value in zip(template.places, items, strict=True):
            _put(args, kwargs, place, value)
        for place, frozen in self._frozen.items():
            _put(args, kwargs, place, frozen.thaw())
        if template.task_id is not None:
            _put(args, kwargs, template.task_id, call)
        if template.rng is not None:
            kwargs[template.rng] = generator_for(self._context.seed, call)
        return args, kwargs

    def on_record(self, items: Sequence[Any]) -> dict[str, Any]:
        """Return the distributed arguments of one call by parameter name."""
        return dict(zip(self._distributed_names, items, strict=True))


def _put(args: list[Any], kwargs: dict[str, Any], place: ArgumentKey, value: Any) -> None:
    if isinstance(place, int):
        args[place] = value
    else:
        kwargs[place] = value


class UnreadableArguments:
    """Takes the place of a call's items if one of them cannot be unpickled."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def rows_of(columns: Sequence[Any], n_calls: int) -> Iterator[Any]:
    """Iterate over the calls of a batch: the items of each one, or `UnreadableArguments`."""
    no_items: tuple[Any, ...] = ()
    if not columns:  # the same call n times
        return itertools.repeat(no_items, n_calls)
    if any(isinstance(column, FrozenColumn) for column in columns):
        return _read_rows(columns, n_calls)
    return zip(*columns, strict=True)


def _read_rows(columns: Sequence[Any], n_calls: int) -> Iterator[Any]:
    iterators = [iter(column) for column in columns]
    # By hand: an exception in `zip` would end the iteration for all later calls.
    for _ in range(n_calls):
        row: list[Any] = []
        unreadable = None
        for iterator in iterators:
            try:
                row.append(next(iterator))
            except Exception as error:
                unreadable = UnreadableArguments(error)
        yield unreadable or row


class BatchEvaluation:
    """Evaluates the calls of one batch and builds its outcome.

    Parameters
    ----------
    context : RunContext
        The run.
    first, n_calls : int
        The calls ``first`` to ``first + n_calls - 1``.
    attempt : int
        1 for the first evaluation of these calls.
    worker : str
        Address of this worker.
    reraise : bool
        Whether an exception of a call propagates, instead of becoming part of the outcome.
    """

    def __init__(
        self,
        context: RunContext,
        first: int,
        n_calls: int,
        *,
        attempt: int = 1,
        worker: str = "",
        reraise: bool = False,
    ) -> None:
        self._context = context
        self._reraise = reraise
        self._calls = range(first, first + n_calls)
        self._attempt = attempt
        self._worker = worker
        self._arguments = CallArguments(context)
        self._columns: Sequence[Any] = ()
        # Another thread may change the outcome if it holds the lock, has set `_wanted`, and then
        # finds `_calling`: the thread of the calls looks at them in the opposite order. Two
        # attributes take 30 ns a call, a lock that is held except within calls 100 ns.
        self._lock = threading.Lock()
        self._wanted = self._calling = False
        self._begin_part(first)
        # Asked after each call whether the batch goes on once this time is reached.
        self._due = self._began + BATCH_SECONDS

    def _begin_part(self, first: int) -> None:
        """Begin the outcome, and the files, of the calls from ``first`` on."""
        self._began = time.perf_counter()
        sink = self._context.sink
        self._writer = sink.open(range(first, self._calls.stop)) if sink else None
        self.outcome = BatchOutcome(first=first, worker=self._worker)
        if self._writer is None:
            self.outcome.values = []

    def run(self, columns: Sequence[Any]) -> BatchOutcome:
        """Evaluate the calls until all are done or the time of a batch is over."""
        self._columns = columns
        try:
            self.evaluate(rows_of(columns, len(self._calls)))
            return self.close()
        # Also at Ctrl-C in this process, which leaves no unfinished file.
        except BaseException:
            if self._writer is not None:
                self._writer.abort()
            raise

    def close(self) -> BatchOutcome:
        """Finish the files and return the outcome of the calls evaluated since the last report."""
        outcome = self.outcome
        facts: list[Any] = [outcome.seconds, outcome.started, outcome.peak_memory]
        if outcome.values is not None:
            facts.append(outcome.values)
        # An interrupt (Ctrl-C in this process) may come between two appends: a call without all
        # facts did not finish.
        outcome.n_calls = min(map(len, facts))
        for fact in facts:
            del fact[outcome.n_calls :]
        if self._writer is not None:
            self._take_receipt(self._writer.close())
        outcome.wall_seconds = time.perf_counter() - self._began
        return outcome

    def evaluate(self, rows: Iterator[Any]) -> None:
        """Evaluate calls, given the items of each one, until the time of a batch is over."""
        try:
            # One offset per batch: calls are timed by the monotonic clock, which nobody can set
            # back.
            self._evaluate(rows, time.time() - time.perf_counter())
        finally:
            self._calling = False
            if self._wanted:
                self._wait()

    def _wait(self) -> None:
        """Wait for another thread that works on the outcome."""
        with self._lock:
            pass

    def _evaluate(self, rows: Iterator[Any], to_wall_clock: float) -> None:
        # 50 000 calls of a microsecond may go through this loop: every attribute lookup counts.
        func, arguments = self._context.func, self._arguments
        clock, memory = time.perf_counter, PeakMemory()
        for call, row in enumerate(rows, self.outcome.first):
            value, error = None, None
            start = clock()
            try:
                if type(row) is UnreadableArguments:
                    raise row.error
                args, kwargs = arguments.for_call(call, row)
                # Again: the time to unpickle arguments is not the user's.
                start = clock()
                self._calling = True
                value = func(*args, **kwargs)
            # sys.exit() in the user's function must not end the worker. KeyboardInterrupt can only
            # come from the function: for a signal, Python raises it in the main thread, and dask
            # runs tasks in another one.
            except (Exception, SystemExit, KeyboardInterrupt) as raised:
                if self._reraise:
                    raise
                error = raised
            end = clock()
            self._calling = False
            if self._wanted:
                self._wait()
            outcome = self.outcome
            outcome.seconds.append(end - start)
            outcome.started.append(start + to_wall_clock)
            outcome.peak_memory.append(memory.after_call(end - start, end))
            if error is None:
                error = self._keep(call, row, value)
            if error is not None:
                self._fail(call, row, error)
            if end > self._due and not self._goes_on(call + 1, end):
                break
            if error is not None and self._context.stop_at_failure:
                break

    def _goes_on(self, following: int, now: float) -> bool:
        """Return whether the call ``following`` is evaluated although the time is over."""
        return False

    def _keep(self, call: int, row: Any, value: Any) -> Exception | None:
        """Pass the value on; return the reason if it cannot be stored or sent."""
        if self._writer is not None:
            self._writer.put(self._report(call, row), value)
            return None
        try:
            if self._context.slots is not None:
                first, others = self._context.slots.split(value)
                value = self._context.slots.fit(first), others
            # Pickled now: the next call may change the object, for instance a global array.
            packed = value if type(value) in _IMMUTABLE else freeze_result(call, value)
        except (TypeError, ValueError) as misfit:
            return misfit
        if self.outcome.values is not None:
            self.outcome.values.append(packed)
        return None

    def _take_receipt(self, receipt: BatchReceipt) -> None:
        """Turn results that could not be stored into failures of their calls."""
        self.outcome.receipt = receipt
        for call, error in receipt.errors.items():
            if self._reraise:
                raise error
            at = call - self._calls.start
            (row,) = rows_of([column[at : at + 1] for column in self._columns], 1)
            self.outcome.failures[call] = self._failure(row, error)
        # The failures carry them from here on; exceptions may not even be picklable.
        receipt.errors = {}

    def _fail(self, call: int, row: Any, error: BaseException) -> None:
        failure = self._failure(row, error)
        self.outcome.failures[call] = failure
        if self._writer is not None:
            self._writer.fail(self._report(call, row), failure.record)
        elif self.outcome.values is not None:
            self.outcome.values.append(None)

    def _failure(self, row: Any, error: BaseException) -> CallFailure:
        # One exception object per batch is enough: only one becomes the cause of `ComputeError`.
        keep_exception = not self.outcome.failures
        return describe(error, self._on_record(row), keep_exception=keep_exception)

    def _on_record(self, row: Any) -> dict[str, Any]:
        """Return the distributed arguments of a call by name; none if they cannot be read."""
        return {} if isinstance(row, UnreadableArguments) else self._arguments.on_record(row)

    def _report(self, call: int, row: Any) -> CallReport:
        outcome = self.outcome
        return CallReport(
            call=call,
            started=outcome.started[-1],
            seconds=outcome.seconds[-1],
            peak_memory=outcome.peak_memory[-1],
            worker=outcome.worker,
            attempt=self._attempt,
            arguments=self._on_record(row),
        )
