"""One call in a process of its own, to see how much memory it takes; started by `estimate`.

::

    python -m acme_core.trial REPORT        the pickled `Trial` comes on the standard input

The process lives as a worker would: it has imported what a worker has, and works in the client's
folder. It ends with its parent, whatever happens to that one: the standard input is then closed.
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

from acme_core import environment, transport
from acme_core.memory import PeakMemory, largest_child


class Trial(NamedTuple):
    """What such a process has to know.

    Attributes
    ----------
    cwd, sys_path
        Working directory and module search path of the client.
    order : bytes
        The pickled run.
    columns : bytes
        The pickled arguments of the call.
    call : int
        Its number.
    """

    cwd: str
    sys_path: tuple[str, ...]
    order: bytes
    columns: bytes
    call: int


def main(report: str) -> None:
    """Evaluate the call, and write peak memory in bytes and error, if any, to a file as JSON."""
    size = int(sys.stdin.buffer.readline())
    trial = Trial(*pickle.loads(sys.stdin.buffer.read(size)))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    environment.enter(trial.cwd, trial.sys_path)
    environment.limit_threads(1)
    memory = PeakMemory()
    error = _evaluate(trial)
    # Not their sum: what a child is said to have had includes its parent's at the fork.
    facts = {"peak": max(memory.read(), largest_child()), "error": error}
    Path(report).write_text(json.dumps(facts), encoding="utf-8")


def _evaluate(trial: Trial) -> str | None:
    import distributed  # noqa: F401 # a worker has it in its memory as well

    from acme_core.here import run_one_here

    try:
        order: Any = transport.loads(trial.order)
        run_one_here(order, trial.call, transport.loads(trial.columns))
    except (Exception, SystemExit) as failed:
        return f"{type(failed).__name__}: {failed}"
    return None


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
