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
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from acme_core.transport.plain_values import as_array, immutable_types
from acme_core.transport.protocol import BatchOutcome, CallFailure, RunContext
from acme_core.transport.serialization import Frozen, freeze_result
from acme_core.worker.call_arguments import CallArguments, first_items
from acme_core.worker.failures import describe
from acme_core.worker.peak_memory import PeakMemory
from acme_core.worker.unfinished import UNFINISHED, unfinished_value
from acme_io.backend import CallReport

if TYPE_CHECKING:
    from acme_io.backend import BatchReceipt

BATCH_SECONDS = 0.5
"""Seconds after which a batch ends with its current call, unless its request says otherwise.

The other calls are sent again. It bounds the cost of a wrong estimate of run times.
"""

# Looked up once: they are tested after every call.
_IMMUTABLE = immutable_types()
_NONE: frozenset[type] = frozenset()


class _Raised(NamedTuple):
    """Takes the place of the value of a call that raised an exception."""

    error: BaseException


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
        # Of the calls since the last report. Emptied then, not replaced: the loop holds on to them.
        self._started, self._ended = array("d"), array("d")
        self._values: list[Any] = []
        # One offset per batch: calls are timed by the monotonic clock, which nobody can set back.
        self._to_wall_clock = time.time() - time.perf_counter()
        self._memory = PeakMemory()
        # Whether a call is being recorded or reported; other errors between two calls come from
        # their arguments.
        self._recording = False
        self._begin_part(first)
        # Asked after each call whether the batch goes on once this time is reached.
        self._due = self._began + BATCH_SECONDS

    def _begin_part(self, first: int) -> None:
        """Begin the outcome, and the files, of the calls from ``first`` on."""
        self._began = time.perf_counter()
        sink = self._context.sink
        self._writer = sink.open(range(first, self._calls.stop)) if sink else None
        self.outcome = BatchOutcome(first=first, worker=self._worker)
        for facts in (self._started, self._ended, self._values):
            del facts[:]

    def run(self, columns: Sequence[Any]) -> BatchOutcome:
        """Evaluate the calls until all are done or the time of a batch is over."""
        self._columns = columns
        try:
            self._evaluate_columns(columns)
            return self.close()
        # Also at Ctrl-C in this process, which leaves no unfinished file.
        except BaseException:
            if self._writer is not None:
                self._writer.abort()
            raise

    def close(self) -> BatchOutcome:
        """Finish the files and return the outcome of the calls evaluated since the last report."""
        outcome = self.outcome
        facts: list[Any] = [self._started, self._ended]
        if self._writer is None:
            facts.append(self._values)
        # An interrupt (Ctrl-C in this process) may come between two appends: a call without all
        # facts did not finish.
        outcome.n_calls = n_calls = min(map(len, facts))
        started, ended = np.array(self._started[:n_calls]), np.array(self._ended[:n_calls])
        outcome.seconds = array("d", (ended - started).tobytes())
        outcome.started = array("d", (started + self._to_wall_clock).tobytes())
        self._fill_peaks(n_calls)
        if self._writer is None:
            outcome.values = as_array(self._values[:n_calls])
        else:
            self._take_receipt(self._writer.close())
        outcome.wall_seconds = time.perf_counter() - self._began
        return outcome

    def evaluate(self, rows: Iterator[Any]) -> None:
        """Evaluate calls, given the items of each one, until the time of a batch is over."""
        one_by_one = (
            self._arguments.for_calls(call, 1, [(item,) for item in row])
            for call, row in enumerate(rows, self.outcome.first)
        )
        self._evaluate(itertools.chain.from_iterable(one_by_one))

    def _evaluate_columns(self, columns: Sequence[Any]) -> None:
        """Evaluate calls, given all their items; one that cannot be unpickled fails its call."""
        done, ends = 0, False
        while done < len(self._calls) and not ends:
            rest = [column[done:] for column in columns] if done else columns
            calls = self._calls[done:]
            try:
                ends = self._evaluate(self._arguments.for_calls(calls.start, len(calls), rest))
                unread: Exception = RuntimeError("unpickling an argument raised StopIteration")
            except Exception as error:
                if self._reraise or self._recording:
                    raise
                unread = error
            done = self._following - self._calls.start
            if done < len(self._calls) and not ends:
                ends = self._fail_unread(unread)
                done += 1

    @property
    def _following(self) -> int:
        """The call after the last one that was evaluated."""
        return self.outcome.first + len(self._started)

    def _evaluate(self, calls: Iterator[tuple[Sequence[Any], dict[str, Any]]]) -> bool:
        """Evaluate calls, given their arguments; return whether the batch ends before the last."""
        try:
            return self._evaluate_each(calls)
        finally:
            self._calling = False
            if self._wanted:
                self._wait()

    def _wait(self) -> None:
        """Wait for another thread that works on the outcome."""
        with self._lock:
            pass

    def _evaluate_each(self, calls: Iterator[tuple[Sequence[Any], dict[str, Any]]]) -> bool:
        # 50 000 calls of a microsecond may go through this loop: every attribute lookup counts.
        func, clock, wake = self._context.func, time.perf_counter, self._memory.next_reading
        started, ended, keep = self._started.append, self._ended.append, self._values.append
        # Values to keep as they are: no later call can change them.
        in_memory = self._writer is None and self._context.slots is None
        unchanging, tuples = (_IMMUTABLE, tuple) if in_memory else (_NONE, None)
        none_changes = unchanging.issuperset
        for args, kwargs in calls:
            start = clock()
            try:
                # Meanwhile another thread may report finished calls.
                self._calling = True
                value = func(*args, **kwargs)
            # sys.exit() in the user's function must not end the worker. KeyboardInterrupt can only
            # come from the function: for a signal, Python raises it in the main thread, and dask
            # runs tasks in another one.
            except (Exception, SystemExit, KeyboardInterrupt) as raised:
                if self._reraise:
                    raise
                value = _Raised(raised)
            end = clock()
            self._calling = False
            if self._wanted:
                self._wait()
            started(start)
            ended(end)
            if end >= wake:
                wake = self._read_memory(end - start, end)
            kind = type(value)
            if kind in unchanging or (kind is tuples and none_changes(map(type, value))):
                keep(value)
            elif self._record(value, args, kwargs):
                return True
            if end > self._due and self._is_over(end):
                return True
        return False

    def _is_over(self, now: float) -> bool:
        """Return whether the batch ends, when its time or that of its next report is reached."""
        self._recording = True
        over = not self._goes_on(self._following, now)
        self._recording = False
        return over

    def _goes_on(self, following: int, now: float) -> bool:
        """Return whether the call ``following`` is evaluated although the time is over."""
        return False

    def _fail_unread(self, error: Exception) -> bool:
        """Fail a call whose arguments cannot be unpickled; return whether the batch ends."""
        now = time.perf_counter()
        self._started.append(now)
        self._ended.append(now)
        ends = self._record(_Raised(error), None, {})
        return ends or (now > self._due and self._is_over(now))

    def _read_memory(self, seconds: float, now: float) -> float:
        """Read the peak memory after a call; return the time of the next reading."""
        self._fill_peaks(len(self._ended) - 1)
        self.outcome.peak_memory.append(self._memory.after_call(seconds, now))
        return self._memory.next_reading

    def _fill_peaks(self, n_calls: int) -> None:
        """Give the calls without a reading the latest one."""
        peaks = self.outcome.peak_memory
        peaks.extend(array("q", [self._memory.reading]) * (n_calls - len(peaks)))
        del peaks[n_calls:]

    def _record(self, value: Any, args: Sequence[Any] | None, kwargs: dict[str, Any]) -> bool:
        """Record how the last call ended; return whether its failure ends the batch.

        ``args`` is `None` if the arguments could not be unpickled.
        """
        self._recording = True
        call = self._following - 1
        items = None if args is None else self._arguments.items(args, kwargs)
        error = value.error if type(value) is _Raised else self._keep(call, items, value)
        if error is not None:
            self._fail(call, items, error)
        self._recording = False
        return error is not None and self._context.stop_at_failure

    def _keep(self, call: int, items: Sequence[Any] | None, value: Any) -> Exception | None:
        """Pass the value on; return the reason if it cannot be stored or sent."""
        if type(value) in UNFINISHED:
            unfinished = unfinished_value(value)
            if self._reraise:
                raise unfinished
            return unfinished
        if self._writer is not None:
            self._writer.put(self._report(call, items), value)
            return None
        try:
            if self._context.slots is not None:
                first, others = self._context.slots.split(value)
                value = self._context.slots.fit(first), others
            # Pickled now: the next call may change the object, for instance a global array.
            packed = freeze_result(call, value)
        except (TypeError, ValueError) as misfit:
            return misfit
        if type(packed) is Frozen:
            self.outcome.frozen[call] = packed.as_item()
            packed = None
        self._values.append(packed)
        return None

    def _take_receipt(self, receipt: BatchReceipt) -> None:
        """Turn results that could not be stored into failures of their calls."""
        self.outcome.receipt = receipt
        for call, error in receipt.errors.items():
            if self._reraise:
                raise error
            at = call - self._calls.start
            items = first_items([column[at : at + 1] for column in self._columns])
            self.outcome.failures[call] = self._failure(items, error)
        # The failures carry them from here on; exceptions may not even be picklable.
        receipt.errors = {}

    def _fail(self, call: int, items: Sequence[Any] | None, error: BaseException) -> None:
        failure = self._failure(items, error)
        self.outcome.failures[call] = failure
        if self._writer is not None:
            self._writer.fail(self._report(call, items), failure.record)
        else:
            self._values.append(None)

    def _failure(self, items: Sequence[Any] | None, error: BaseException) -> CallFailure:
        # One exception object per batch is enough: only one becomes the cause of `ComputeError`.
        keep_exception = not self.outcome.failures
        return describe(error, self._on_record(items), keep_exception=keep_exception)

    def _on_record(self, items: Sequence[Any] | None) -> dict[str, Any]:
        """Return the distributed arguments of a call by name; none if they cannot be read."""
        return {} if items is None else self._arguments.on_record(items)

    def _report(self, call: int, items: Sequence[Any] | None) -> CallReport:
        outcome, start, end = self.outcome, self._started[-1], self._ended[-1]
        return CallReport(
            call=call,
            started=start + self._to_wall_clock,
            seconds=end - start,
            peak_memory=self._memory.reading,
            worker=outcome.worker,
            attempt=self._attempt,
            arguments=self._on_record(items),
        )
