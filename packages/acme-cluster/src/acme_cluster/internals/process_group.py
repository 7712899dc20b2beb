"""What calls start ends with their worker: each worker leads a process group of its own.

Processes that calls start, and those that these start, belong to the group unless they leave it. A
worker ends in one of three ways:

- It closes: it ends the others, and Python then waits for none of them.
- It is killed, or crashes: its nanny ends what is left of the group.
- Its nanny is gone: it ends the group, with itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from typing import Any

__all__ = ["end_all", "end_group_of", "end_others", "lead"]


def lead() -> None:
    """Let this process lead a new group, and have children of its own."""
    if hasattr(os, "setpgid"):
        # A session leader, as a worker may be elsewhere, has its own group already.
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    # Nannies start daemonic processes, to which `multiprocessing` refuses children because nothing
    # would end these. Here something does.
    process: Any = multiprocessing.current_process()
    process._config["daemon"] = False


def end_others() -> None:
    """End the processes that calls have left behind, from the worker, which goes on."""
    if not _leads():
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    # `multiprocessing` waits for these at exit, and they may ignore SIGTERM.
    for child in multiprocessing.active_children():
        child.kill()


def end_all() -> None:
    """End this worker and everything that its calls started, at once."""
    if _leads():
        os.killpg(0, signal.SIGKILL)
    os._exit(-1)


def end_group_of(pid: int | None) -> None:
    """End what a worker that has ended, with this process id, left behind."""
    # The kernel gives the number of a group to no new process while a member lives.
    if pid is not None and pid > 1 and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _leads() -> bool:
    return hasattr(os, "getpgrp") and os.getpgrp() == os.getpid()
