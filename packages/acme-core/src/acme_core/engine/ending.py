"""The end of a run that is left early: what running batches have finished is not lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from acme_core.engine.in_flight import InFlightBatches
from acme_core.transport.outcome_events import Report

__all__ = ["last_reports"]

# Seconds to wait for running batches. Storing the results of short calls was not over after 0.7 s
# on slow disks.
_LAST_BATCHES = 1.0
# The same if calls are too long to be waited for, and only finished ones are still reported.
_LAST_REPORTS = 0.4


def last_reports(
    in_flight: InFlightBatches,
    handle: Callable[[Report], object],
    *,
    slots: int,
    long_calls: bool,
) -> None:
    """Cancel all batches in flight and handle what those that run still report.

    Workers notice within a tenth of a second, report the calls that are finished, and end the batch
    with its current call. A long call is not waited for.

    Parameters
    ----------
    in_flight : InFlightBatches
        The batches.
    handle : callable
        Takes one report.
    slots : int
        Number of batches that can run at a time.
    long_calls : bool
        Whether calls take too long to be waited for.
    """
    in_flight.cancel()
    end = time.monotonic() + (_LAST_REPORTS if long_calls else _LAST_BATCHES)
    n_cancelled = len(in_flight) - min(slots, len(in_flight))
    while len(in_flight) > n_cancelled:
        reports, _ = in_flight.next_arrivals(max(0.0, end - time.monotonic()))
        for report in reports:
            # That a worker cannot work on this run does not matter any more.
            with contextlib.suppress(Exception):
                handle(report)
        if time.monotonic() >= end:
            return
