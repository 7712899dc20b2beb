"""A batch that is reported in parts while it runs, and can lose the calls that it has not begun.

::

    thread of the calls   call ─ call ─ call ─ report ─ call ─ call ─────── long call ───────▶
    thread `watch`          twenty times a second, all batches:      report   end after this call

With hundreds of workers a batch takes many seconds, because client and scheduler handle a limited
number of batches a second. Reports keep it transparent: what it has finished is safe, and known to
the client, half a second later. What it has not begun can be taken back for an idle worker.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from acme_core.transport.protocol import BatchOutcome, RunContext
from acme_core.worker import garbage
from acme_core.worker.evaluation import BatchEvaluation

if TYPE_CHECKING:
    from acme_io.backend import BatchReceipt

__all__ = ["REPORT_SECONDS", "ReportedBatch", "begin", "end", "take_back"]

logger = logging.getLogger(__name__)

REPORT_SECONDS = 0.45
"""Seconds between two reports; with `_WATCH_SECONDS`, half a second."""

# Seconds between two looks of the watching thread at all batches of this process.
_WATCH_SECONDS = 0.05
# Ended batches to remember, and batches taken back before they began: two per worker are in flight.
_REMEMBERED = 1000

Key = tuple[str, int]
"""Run id and number of a batch."""


class ReportedBatch(BatchEvaluation):
    """Evaluates the calls of one batch and reports them in parts.

    Parameters
    ----------
    context, first, n_calls, attempt, worker
        As for `BatchEvaluation`.
    seconds : float
        Time after which the batch ends with its current call.
    announce : bool
        Whether to report at once which worker the batch is at, if its first call takes long.
    report : callable
        Called with the outcome of the calls since the last report; returns whether it was sent.
    cancelled : callable
        Returns whether the client has cancelled the batch.
    """

    def __init__(
        self,
        context: RunContext,
        first: int,
        n_calls: int,
        *,
        attempt: int,
        worker: str,
        seconds: float,
        announce: bool,
        report: Callable[[BatchOutcome], bool],
        cancelled: Callable[[], bool],
    ) -> None:
        self._send, self._cancelled = report, cancelled
        self._ends = time.perf_counter() + seconds
        self._last_call = False
        self._announced = not announce
        super().__init__(context, first, n_calls, attempt=attempt, worker=worker)
        self._due = self._next_due()

    def _next_due(self) -> float:
        return min(self._ends, self._began + REPORT_SECONDS)

    def _goes_on(self, following: int, now: float) -> bool:
        # Calls that are not reported here are in the outcome that the task returns.
        if self._last_call or now > self._ends or following == self._calls.stop:
            return False
        return self._report_part()

    def _report_part(self, *, in_call: bool = False) -> bool:
        """Report the calls since the last report; return whether the batch can go on."""
        if not self._ended:
            return True
        part = self.close()
        if in_call:  # the time of that call is not that of the calls before it
            part.wall_seconds = sum(part.seconds)
        if part.receipt is not None:
            part.receipt = _shortened(part.receipt, part.n_calls)
        if not self._send(part):
            return False  # too large, and still in the outcome: it travels as the task's result
        self._announced = True
        self._begin_part(part.first + part.n_calls)
        self._due = self._next_due()
        return True

    def abort(self) -> None:
        """Drop a batch that does not begin."""
        if self._writer is not None:
            self._writer.abort()

    # -- from other threads, while a call runs ---------------------------------------------------

    def watch(self, now: float) -> None:
        """Report if it is time to although a call runs; stop after it if the batch is cancelled."""
        cancelled = not self._last_call and self._cancelled()
        overdue = now > self._began + REPORT_SECONDS
        unreported = len(self._ended) or not self._announced
        if not (cancelled or (overdue and unreported)):
            return
        with self._during_call() as possible:
            if not possible:
                return
            if cancelled:
                self._end_with_this_call()
            if not self._ended:
                if not self._announced:
                    self._announced = True
                    self._send(BatchOutcome(self.outcome.first, worker=self._worker))
            elif not self._report_part(in_call=True):
                self._end_with_this_call()
            if self._last_call:
                self._due = -math.inf

    def take_back(self) -> int | None:
        """Give up the calls that are not begun; return the first of them.

        `None` if there are none, or no call is running just now.
        """
        with self._during_call() as possible:
            following = self._following + 1
            if not possible or self._last_call or following >= self._calls.stop:
                return None
            self._end_with_this_call()
            return following

    @contextmanager
    def _during_call(self) -> Iterator[bool]:
        """Keep the thread of the calls from going on after its current call; yield whether it is.

        That thread is somewhere else only for microseconds, or while it closes files.
        """
        with self._lock:
            self._wanted = True
            try:
                yield self._calling
            finally:
                self._wanted = False

    def _end_with_this_call(self) -> None:
        self._last_call, self._due = True, -math.inf


def _shortened(receipt: BatchReceipt, n_calls: int) -> BatchReceipt:
    """Leave out of a receipt the calls that are still to come."""
    files, lengths = receipt.files, receipt.lengths
    return replace(
        receipt,
        calls=receipt.calls[:n_calls],
        status=receipt.status[:n_calls],
        files=files if isinstance(files, str) else files[:n_calls],
        checksums=receipt.checksums[:n_calls],
        attempts=receipt.attempts[:n_calls],
        lengths=None if lengths is None else lengths[:n_calls],
        extras=receipt.extras[:n_calls],
    )


# -- all batches of this process ---------------------------------------------------------------

_lock = threading.Lock()
_running: dict[Key, ReportedBatch] = {}
# Both in order of time, the oldest are forgotten.
_ended: OrderedDict[Key, None] = OrderedDict()
_taken_back: OrderedDict[Key, None] = OrderedDict()
_watcher: threading.Thread | None = None


def begin(key: Key, batch: ReportedBatch) -> bool:
    """Record that a batch begins; return `False` if it was taken back before."""
    global _watcher
    with _lock:
        if _taken_back.pop(key, _ended) is None:
            _remember(_ended, key)
            return False
        _running[key] = batch
        if _watcher is None:
            _watcher = threading.Thread(target=_watch, name="acme-watch", daemon=True)
            _watcher.start()
    return True


def end(key: Key) -> None:
    """Record that a batch has ended; nothing of it can be taken back any more."""
    with _lock:
        _running.pop(key, None)
        _remember(_ended, key)


def take_back(key: Key) -> int | None:
    """Take back the calls of a batch that are not begun.

    Returns
    -------
    int or None
        The first of these calls; 0 if the batch is still in the queue of the worker; `None` if
        there are none.
    """
    with _lock:
        batch = _running.get(key)
        if batch is None:
            if key in _ended:
                return None
            _remember(_taken_back, key)
            return 0
    return batch.take_back()


def _remember(keys: OrderedDict[Key, None], key: Key) -> None:
    keys[key] = None
    while len(keys) > _REMEMBERED:
        keys.popitem(last=False)


def _watch() -> None:
    """Look at all running batches, until there has been none for a while."""
    global _watcher
    idle_since = time.perf_counter()
    settles: float | None = idle_since + garbage.SETTLED_SECONDS
    while True:
        time.sleep(_WATCH_SECONDS)
        with _lock:
            batches = list(_running.values())
            now = time.perf_counter()
            if batches:
                idle_since = now
            elif now - idle_since > 20 * _WATCH_SECONDS:
                _watcher = None
                return
        if settles is not None and now > settles:
            settles = None
            garbage.settle()
        for batch in batches:
            try:
                batch.watch(now)
            except Exception:  # of one batch; the others are still looked after
                logger.exception("<ParallelMap> a batch could not be reported")
