"""The memory of a call, measured before workers are requested.

::

    a few calls, picked at random ──▶ one process each (`memory_probe`) ──▶ the largest peak
                                       watched from here, killed after half a minute
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from acme_core.arguments.distribution import Distribution
from acme_core.run.spec import RunSpec
from acme_core.run.trials.memory_probe import ProbeRequest
from acme_core.transport import serialization
from acme_core.transport.shared_arguments import freeze_where_possible

logger = logging.getLogger(__name__)

# Calls to measure. The user waits for them.
MOST_CALLS = 5
# Seconds after which a call is killed; its memory by then counts, with a warning.
SECONDS = 30.0
# Seconds between two readings of the memory of a process and its children. Their own peaks would
# not add up to the peak of all.
_BETWEEN_READINGS = 0.05


class Measurement(NamedTuple):
    """The memory of one call.

    Attributes
    ----------
    call : int
        Number of the call.
    peak : int
        Peak memory of its process and all children together, in bytes.
    error : str or None
        The reason that the call failed.
    complete : bool
        Whether the call ended in time.
    """

    call: int
    peak: int
    error: str | None
    complete: bool


def measure(spec: RunSpec, seed: int) -> list[Measurement]:
    """Evaluate a few calls, each in its own process, and measure their memory.

    Results are discarded. Cores and free memory limit the number of simultaneous processes. If
    items come from an iterator, only the first call is measured. Measurements are in call order.
    """
    distribution = spec.distribution
    shared = freeze_where_possible(distribution.template.shared)
    context = serialization.dumps(spec.context(seed, shared))
    waiting = _picked(distribution)
    running: list[_Process] = []
    measured: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="acme-estimate-") as folder:
        try:
            while waiting or running:
                while waiting and _room_for_one_more(len(running), measured):
                    call = waiting.pop()
                    columns = serialization.dumps(distribution.peek(call))
                    request = ProbeRequest(os.getcwd(), tuple(sys.path), context, columns, call)
                    running.append(_Process(request, Path(folder, str(call))))
                time.sleep(_BETWEEN_READINGS)
                ended = [process for process in running if process.has_ended()]
                measured += [process.result() for process in ended]
                running = [process for process in running if process not in ended]
        finally:
            for process in running:
                process.end()
    return sorted(measured)


def _picked(distribution: Distribution) -> list[int]:
    # The system's random numbers leave the user's NumPy and `random` states unchanged.
    if distribution.reads_iterators:
        return [0]
    n_calls = distribution.n_calls
    return secrets.SystemRandom().sample(range(n_calls), min(n_calls, MOST_CALLS))


def _room_for_one_more(n_running: int, measured: list[Measurement]) -> bool:
    if n_running == 0:
        return True
    # The cores of this process, which may be fewer than the machine's (taskset, a SLURM job).
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    largest = max((m.peak for m in measured), default=0)
    return n_running < (cores or 1) and psutil.virtual_memory().available > 2 * largest


class _Process:
    """A running memory probe."""

    def __init__(self, request: ProbeRequest, report: Path) -> None:
        self.call = request.call
        self._report = report
        self._peak = 0
        self._complete = True
        self._started = time.monotonic()
        # The `sys.path` of this process: the user may have changed it since Python started.
        code = (
            f"import sys; sys.path[:] = {[entry or os.getcwd() for entry in sys.path]!r}; "
            f"from acme_core.run.trials.memory_probe import main; main({str(report)!r})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # one signal then reaches its children as well
        )
        self._send(pickle.dumps(tuple(request)))

    def _send(self, content: bytes) -> None:
        # The pipe stays open while this process lives. When it closes, the probe kills itself.
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n%b" % (len(content), content))
            self._process.stdin.flush()

    def has_ended(self) -> bool:
        """Read the memory of the process; return whether it has ended or its time is up."""
        self._peak = max(self._peak, _held_by_tree(self._process.pid))
        if self._process.poll() is None:
            self._complete = time.monotonic() - self._started < SECONDS
            if self._complete:
                return False
        self.end()
        return True

    def end(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def result(self) -> Measurement:
        """Return the measurement of a process that has ended."""
        try:
            facts = json.loads(self._report.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # killed, or crashed before it wrote its report
            error = f"its process ended with code {self._process.returncode}"
            return Measurement(
                self.call, self._peak, error if self._complete else None, self._complete
            )
        return Measurement(self.call, max(self._peak, facts["peak"]), facts["error"], True)


def _held_by_tree(pid: int) -> int:
    """Return the memory of a process and its children in bytes, shared pages counted once.

    The proportional set size (PSS, Linux) divides each page by its number of users. Resident set
    sizes of forked children would count the memory of their parent again.
    """
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_held_by, processes))


def _held_by(process: psutil.Process) -> int:
    try:
        held = process.memory_full_info()
        return int(getattr(held, "pss", held.rss))
    except psutil.Error:
        return 0
