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
        self._reading: int | None = None
        self._short = 0.0
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

    def after_call(self, seconds: float) -> int:
        """Return the peak to be recorded for a call that has just taken so many seconds."""
        self._short += seconds
        if seconds >= OWN_READING_FROM:
            self._reading = self.read()
            self.reset()
            self._short = 0.0
        elif self._reading is None or self._short >= OWN_READING_FROM:
            self._reading = self.read()
            self._short = 0.0
        return self._reading


def _lifetime_peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
