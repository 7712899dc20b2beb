"""Peak memory of this process, per call where that is cheap enough.

On Linux the kernel keeps the peak of the resident set (``VmHWM``) and forgets it on request
(``/proc/self/clear_refs``, see proc(5)). A reading costs some ten microseconds, so only calls of
at least a tenth of a second get one of their own; shorter ones carry the latest of their batch.
"""

from __future__ import annotations

import sys

OWN_READING_FROM = 0.1
"""Run time in seconds from which on a call gets a reading of its own."""


class PeakMemory:
    """Peaks of the resident memory of this process, in bytes."""

    def __init__(self) -> None:
        self._reading = 0
        self._next = float("-inf")
        self.reset()

    def reset(self) -> None:
        """Start anew from what the process holds now, where the system allows it."""
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            return

    def read(self) -> int:
        """Return the peak since the last `reset`, or that of the whole life of the process."""
        try:
            with open("/proc/self/status", "rb") as file:
                status = file.read()
            start = status.index(b"VmHWM:") + 6
            return int(status[start : status.index(b"kB", start)]) * 1024
        except (OSError, ValueError):
            return _lifetime_peak()

    def after_call(self, seconds: float, now: float) -> int:
        """Return the peak to be recorded for a call.

        Parameters
        ----------
        seconds : float
            How long it took.
        now : float
            When it ended, on any clock.
        """
        if seconds >= OWN_READING_FROM:
            self._reading = self.read()
            self.reset()
            self._next = now + OWN_READING_FROM
        elif now >= self._next:
            self._reading = self.read()
            self._next = now + OWN_READING_FROM
        return self._reading


def largest_child_peak() -> int:
    """Return the peak of the largest child that has ended, in bytes.

    What a child is said to have had includes its parent's memory at the fork.
    """
    return _peak_of("RUSAGE_CHILDREN")


def _lifetime_peak() -> int:
    return _peak_of("RUSAGE_SELF")


def _peak_of(whom: str) -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(getattr(resource, whom)).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
