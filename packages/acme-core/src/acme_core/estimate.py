"""How much memory a call takes, measured before the workers that will run it are asked for.

::

    a few calls, picked at random ──▶ a process for each (`trial`) ──▶ the largest peak
                                        watched from here, ended after half a minute
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
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil

from acme_core import transport
from acme_core.distribution import Distribution
from acme_core.here import frozen_where_possible
from acme_core.orders import RunOrder
from acme_core.trial import Trial

logger = logging.getLogger(__name__)

MOST_CALLS = 5
SECONDS = 30.0
_BETWEEN_LOOKS = 0.05


class Measurement(NamedTuple):
    """What was found out about one call.

    Attributes
    ----------
    call : int
        Its number.
    peak : int
        Most memory that its process and all children held together, in bytes.
    error : str or None
        Why the call failed.
    complete : bool
        Whether the call came to its end in the time that it was given.
    """

    call: int
    peak: int
    error: str | None
    complete: bool


def measure(order: RunOrder, distribution: Distribution) -> list[Measurement]:
    """Evaluate a few calls, each in a process of its own, and measure their memory.

    Results are thrown away. As many run at a time as there are cores and memory for.

    Parameters
    ----------
    order : RunOrder
        The run, with its shared arguments.
    distribution : Distribution
        The arguments. Where they can be read only once, the first call alone is measured.

    Returns
    -------
    list of Measurement
        In the order of calls.
    """
    pickled = transport.dumps(replace(order, shared=frozen_where_possible(order.shared)))
    waiting = _picked(distribution)
    running: list[_Process] = []
    measured: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="acme-estimate-") as folder:
        try:
            while waiting or running:
                while waiting and _room_for_one_more(len(running), measured):
                    call = waiting.pop()
                    columns = transport.dumps(distribution.ahead(call))
                    trial = Trial(os.getcwd(), tuple(sys.path), pickled, columns, call)
                    running.append(_Process(trial, Path(folder, str(call))))
                time.sleep(_BETWEEN_LOOKS)
                ended = [process for process in running if process.has_ended()]
                measured += [process.result() for process in ended]
                running = [process for process in running if process not in ended]
        finally:
            for process in running:
                process.end()
    return sorted(measured)


def _picked(distribution: Distribution) -> list[int]:
    """Pick calls, without touching anybody's random state."""
    if distribution.draws:
        return [0]
    n_calls = distribution.n_calls
    return secrets.SystemRandom().sample(range(n_calls), min(n_calls, MOST_CALLS))


def _room_for_one_more(n_running: int, measured: list[Measurement]) -> bool:
    if n_running == 0:
        return True
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    largest = max((m.peak for m in measured), default=0)
    return n_running < (cores or 1) and psutil.virtual_memory().available > 2 * largest


class _Process:
    """A trial that runs."""

    def __init__(self, trial: Trial, report: Path) -> None:
        self.call = trial.call
        self._report = report
        self._peak = 0
        self._complete = True
        self._started = time.monotonic()
        # With the path of this process the same modules are found, wherever they were added from.
        code = (
            f"import sys; sys.path[:] = {[entry or os.getcwd() for entry in sys.path]!r}; "
            f"from acme_core.trial import main; main({str(report)!r})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._send(pickle.dumps(tuple(trial)))

    def _send(self, content: bytes) -> None:
        # The pipe stays open: when it closes, the process ends.
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n%b" % (len(content), content))
            self._process.stdin.flush()

    def has_ended(self) -> bool:
        """Look at the memory it has now, and whether it is done or its time is up."""
        self._peak = max(self._peak, _held_by_tree(self._process.pid))
        if self._process.poll() is None:
            self._complete = time.monotonic() - self._started < SECONDS
            if self._complete:
                return False
        self.end()
        return True

    def end(self) -> None:
        """Kill what is left of it and of its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def result(self) -> Measurement:
        """Say what was found out, when it has ended."""
        try:
            facts = json.loads(self._report.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            error = f"its process ended with code {self._process.returncode}"
            return Measurement(
                self.call, self._peak, error if self._complete else None, self._complete
            )
        return Measurement(self.call, max(self._peak, facts["peak"]), facts["error"], True)


def _held_by_tree(pid: int) -> int:
    """Memory of a process and all its children in bytes; what they share counts once."""
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
