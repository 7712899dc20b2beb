"""Peak memory of this process, per call if the call is long enough.

On Linux the kernel records the peak of the resident set (``VmHWM``) and resets it on request
(``/proc/self/clear_refs``, see proc(5)). A reading takes some ten microseconds: calls of at least a
tenth of a second get their own, shorter ones share a reading twice a second.
"""

from __future__ import annotations

import sys

OWN_READING_FROM = 0.1
"""Run time in seconds from which a call gets its own reading, which then costs 0.01 % of it."""

# Seconds between two readings for shorter calls. Each system call lets other threads run first;
# with 200 threads in a process, ten readings a second took a tenth of their time.
_SHARED_READING_SECONDS = 0.5


class PeakMemory:
    """Peaks of the resident memory of this process, in bytes.

    Attributes
    ----------
    reading : int
        The latest peak, which holds for all calls until the next one.
    next_reading : float
        Time from which on `after_call` may have to read. A call of `OWN_READING_FROM` always ends
        after it.
    """

    def __init__(self) -> None:
        self.reading = 0
        # The first call gets a reading, however short it is.
        self.next_reading = self._next_shared = float("-inf")
        self.reset()

    def reset(self) -> None:
        """Reset the peak to the memory that the process holds now, if the system allows it."""
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # 5 resets VmHWM, since Linux 4.0
        except OSError:
            return

    def read(self) -> int:
        """Return the peak since the last `reset`, without Linux since the process started."""
        try:
            with open("/proc/self/status", "rb") as file:
                status = file.read()
            start = status.index(b"VmHWM:") + 6
            return int(status[start : status.index(b"kB", start)]) * 1024
        except (OSError, ValueError):
            return _lifetime_peak()

    def after_call(self, seconds: float, now: float) -> int:
        """Return the peak to record for a call.

        Parameters
        ----------
        seconds : float
            Run time of the call.
        now : float
            Time at which it ended, by any clock.
        """
        own = seconds >= OWN_READING_FROM
        if own or now >= self._next_shared:
            self.reading = self.read()
            self._next_shared = now + _SHARED_READING_SECONDS
        if own:
            self.reset()
        self.next_reading = now + OWN_READING_FROM
        return self.reading


def largest_child_peak() -> int:
    """Return the peak of the largest child process that has ended, in bytes.

    It includes the memory of the parent at the time of the fork.
    """
    return _peak_of("RUSAGE_CHILDREN")


def _lifetime_peak() -> int:
    return _peak_of("RUSAGE_SELF")


def _peak_of(whom: str) -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    # ru_maxrss counts kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(getattr(resource, whom)).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
