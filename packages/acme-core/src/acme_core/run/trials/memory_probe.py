"""One call in its own process, to measure its memory; started by `memory_estimate`.

::

    python -m acme_core.run.trials.memory_probe REPORT   reads a pickled `ProbeRequest`

The process resembles a worker: it has the same imports, works in the client's folder, and uses one
thread. It ends with its parent, even if that is killed, because the kernel then closes its standard
input.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from acme_core.transport import serialization
from acme_core.worker import environment
from acme_core.worker.peak_memory import PeakMemory, largest_child_peak


class ProbeRequest(NamedTuple):
    """One call to evaluate, and the environment of the client.

    Attributes
    ----------
    cwd, sys_path
        Working directory and module search path of the client.
    context : bytes
        The pickled `RunContext`.
    columns : bytes
        The pickled arguments of the call.
    call : int
        Number of the call.
    """

    cwd: str
    sys_path: tuple[str, ...]
    context: bytes
    columns: bytes
    call: int


def main(report: str) -> None:
    """Evaluate the call; write peak memory in bytes and the error, if any, to a JSON file."""
    # The size comes first, because the pipe stays open behind the request.
    size = int(sys.stdin.buffer.readline())
    request = ProbeRequest(*pickle.loads(sys.stdin.buffer.read(size)))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    environment.enter_client_environment(request.cwd, request.sys_path)
    environment.limit_threads(1)
    memory = PeakMemory()
    error = _evaluate(request)
    # The maximum, not the sum: a child's peak includes its parent's memory at the fork.
    facts = {"peak": max(memory.read(), largest_child_peak()), "error": error}
    Path(report).write_text(json.dumps(facts), encoding="utf-8")


def _evaluate(request: ProbeRequest) -> str | None:
    import distributed  # noqa: F401 # a worker's memory holds it as well

    from acme_core.run.in_process import run_single_call

    try:
        context: Any = serialization.loads(request.context)
        run_single_call(context, request.call, serialization.loads(request.columns))
    except (Exception, SystemExit) as failed:
        return f"{type(failed).__name__}: {failed}"
    return None


def _end_with_parent() -> None:
    # Returns when the parent closes the pipe or dies.
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
