"""Waiting for the first workers of a cluster, with a progress bar and a question at the timeout."""

from __future__ import annotations

import logging
import select
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

from acme_cluster.checks import check_bool, check_count, check_seconds
from acme_cluster.console.prompts import can_ask
from acme_cluster.errors import DeclinedError, WorkerStartError, WorkerTimeoutError

__all__ = ["WaitOptions", "wait_for_workers"]

logger = logging.getLogger(__name__)

# Seconds between two looks at the number of workers, which is a `len` in this process.
_POLL_INTERVAL = 0.05

# Seconds between two questions to the batch system why jobs wait, and before the first of them:
# right after the submission SLURM has not looked at a job yet, and has no reason to give.
_REASON_INTERVAL = 10.0
_FIRST_REASON_AFTER = 2.0


class PendingCluster(Protocol):
    """The parts of a cluster that the wait uses."""

    def online(self) -> int:
        """Return the number of connected workers."""

    def why_waiting(self) -> str | None:
        """Return why jobs are not running, or None."""

    def hopeless(self) -> bool:
        """Return whether waiting longer cannot help."""

    @property
    def refused(self) -> str | None:
        """Why no more workers will come; None while some may."""


@dataclass(frozen=True)
class WaitOptions:
    """The arguments of a setup function about waiting for workers, as given.

    Attributes
    ----------
    startup : int
        Workers to wait for; 0 for none.
    timeout : float
        Seconds to wait before the question, or the error.
    interactive : bool
        Whether to ask at the terminal, if there is one.
    interactive_wait : float
        Seconds to wait for the answer. Without one, the start continues if any worker is online,
        and is stopped otherwise.
    """

    startup: int = 1
    timeout: float = 60.0
    interactive: bool = True
    interactive_wait: float = 10.0

    def check(self, caller: str) -> None:
        """Check all values.

        Parameters
        ----------
        caller : str
            Name of the setup function, for messages.

        Raises
        ------
        TypeError, ValueError
            A value is wrong.
        """
        check_count(self.startup, "n_workers_startup", caller, least=0)
        check_seconds(self.timeout, "timeout", caller)
        check_seconds(self.interactive_wait, "interactive_wait", caller)
        check_bool(self.interactive, "interactive", caller)


def wait_for_workers(
    cluster: PendingCluster, caller: str, total: int, options: WaitOptions
) -> None:
    """Wait until enough workers are online.

    Parameters
    ----------
    cluster : PendingCluster
        The cluster.
    caller : str
        Name of the setup function, for messages.
    total : int
        Workers of the whole cluster.
    options : WaitOptions
        How many of them to wait for, and how long.

    Raises
    ------
    TimeoutError
        No worker was online in time, and there was no terminal to ask at.
    RuntimeError
        The batch system refused the jobs, they can never start, or the user chose to stop.
    """
    timeout, needed = options.timeout, min(options.startup, total)
    while not _wait(cluster, caller, needed, total, timeout):
        online = cluster.online()
        reason = cluster.why_waiting()
        because = f" Reason: {reason}." if reason else ""
        if not (options.interactive and can_ask()):
            if online == 0:
                raise WorkerTimeoutError(
                    f"<{caller}> No worker came online within {timeout:g} seconds.{because} "
                    "Wait longer (timeout=...), or choose another partition."
                )
            logger.warning(
                "<%s> WARNING: %d of %d workers are online after %g seconds; continuing.%s",
                caller, online, total, timeout, because,
            )  # fmt: skip
            return
        choice = _ask(caller, online, total, timeout, because, options.interactive_wait)
        if choice == "c" and online:
            return
        if choice == "a" or (choice == "c" and not online):
            raise DeclinedError(f"<{caller}> No cluster was started: stopped at the prompt.")


def _wait(cluster: PendingCluster, caller: str, needed: int, total: int, timeout: float) -> bool:
    """Return whether enough workers came in time."""
    if cluster.online() >= needed:
        return True
    # Imported only for an actual wait. `tqdm.auto` shows a widget in notebooks.
    from tqdm.auto import tqdm

    end = time.monotonic() + timeout
    next_report = time.monotonic() + _FIRST_REASON_AFTER
    bar: Any = tqdm(
        total=total,
        desc=f"<{caller}> workers online",
        bar_format="{desc}: {n_fmt}/{total_fmt} [{elapsed}]{postfix}",
        leave=False,
        mininterval=0.2,
        file=sys.stderr,
        disable=None,  # None: no bar where standard error is not a terminal
    )
    with bar:
        while (online := cluster.online()) < needed:
            if cluster.refused is not None:
                raise WorkerStartError(f"<{caller}> No workers could be started: {cluster.refused}")
            now = time.monotonic()
            if now >= end:
                return False
            if now >= next_report:
                next_report = now + _REASON_INTERVAL
                _report_reason(cluster, caller, bar)
            # Set, not updated: workers can also get fewer. The elapsed time shows life meanwhile.
            bar.n = online
            bar.refresh()
            time.sleep(_POLL_INTERVAL)
    return True


def _report_reason(cluster: PendingCluster, caller: str, bar: Any) -> None:
    """Log why jobs wait, once per reason; raise an error if waiting cannot help."""
    reason = cluster.why_waiting()
    if reason and reason != getattr(bar, "reported_reason", None):
        bar.reported_reason = reason
        # The message takes the line of the bar, which is drawn again below it.
        bar.clear()
        logger.info("<%s> INFO: Jobs are waiting. %s", caller, reason)
    if cluster.hopeless() and cluster.online() == 0 and reason:
        raise WorkerStartError(f"<{caller}> The jobs can never start as requested. {reason}")


def _ask(caller: str, online: int, total: int, timeout: float, because: str, wait: float) -> str:
    """Return the user's choice: k(eep waiting), c(ontinue) or a(bort)."""
    default = "c" if online else "a"
    go_on = f", [c]ontinue with {online}" if online else ""
    print(
        f"<{caller}> {online} of {total} workers are online after {timeout:g} seconds.{because}\n"
        f"[k]eep waiting{go_on} or [a]bort? ({default} after {wait:g} seconds) ",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip
    # `input` has no timeout; `select` on standard input has one on POSIX. 0 means to wait for ever.
    if wait > 0 and not select.select([sys.stdin], [], [], wait)[0]:
        print(default, file=sys.stderr)
        return default
    answer = sys.stdin.readline().strip().lower()[:1]
    return answer if answer in ("k", "c", "a") else default
