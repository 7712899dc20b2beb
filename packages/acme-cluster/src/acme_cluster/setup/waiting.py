"""Waiting until the first workers of a cluster are online, and asking if they are not."""

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

__all__ = ["Patience", "wait_for_workers"]

logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.05
_REASON_EVERY = 10.0


class Growing(Protocol):
    """What is waited for."""

    def online(self) -> int:
        """Count the workers that are there."""

    def why_waiting(self) -> str | None:
        """Say why others are not."""

    def hopeless(self) -> bool:
        """Tell whether there is nothing to wait for."""

    @property
    def refused(self) -> str | None:
        """Why no job was accepted."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for how many workers, and what then.

    Attributes
    ----------
    startup : int
        Workers to wait for; 0 for none.
    timeout : float
        Seconds to wait before asking, or giving up.
    interactive : bool
        Whether to ask at the terminal, if there is one.
    interactive_wait : float
        Seconds to wait for the answer; then it goes on with the workers that there are.
    """

    startup: int = 1
    timeout: float = 60.0
    interactive: bool = True
    interactive_wait: float = 10.0

    def check(self, caller: str) -> None:
        """Check what the user gave.

        Parameters
        ----------
        caller : str
            For messages.

        Raises
        ------
        TypeError, ValueError
            A value that cannot mean anything.
        """
        check_count(self.startup, "n_workers_startup", caller, least=0)
        check_seconds(self.timeout, "timeout", caller)
        check_seconds(self.interactive_wait, "interactive_wait", caller)
        check_bool(self.interactive, "interactive", caller)


def wait_for_workers(cluster: Growing, caller: str, total: int, patience: Patience) -> None:
    """Wait until enough workers are online.

    Parameters
    ----------
    cluster : Growing
        Whose workers.
    caller : str
        Function in whose name messages are written.
    total : int
        Workers that were asked for.
    patience : Patience
        How many of them to wait for, and how long.

    Raises
    ------
    TimeoutError
        No worker came in time, and nobody was there to ask, or the answer was to give up.
    RuntimeError
        The batch system refused the jobs, or the user chose to stop.
    """
    timeout, needed = patience.timeout, min(patience.startup, total)
    while not _wait(cluster, caller, needed, total, timeout):
        there = cluster.online()
        reason = cluster.why_waiting()
        because = f" The queue says: {reason}." if reason else ""
        if not (patience.interactive and can_ask()):
            if there == 0:
                raise WorkerTimeoutError(
                    f"<{caller}> No worker came online within {timeout:g} seconds.{because} "
                    "Wait longer (timeout=...), or choose another partition."
                )
            logger.warning(
                "<%s> WARNING: %d of %d workers are online after %g seconds, going on with them.%s",
                caller, there, total, timeout, because,
            )  # fmt: skip
            return
        choice = _ask(caller, there, total, timeout, because, patience.interactive_wait)
        if choice == "c" and there:
            return
        if choice == "a" or (choice == "c" and not there):
            raise DeclinedError(f"<{caller}> No cluster was started: stopped at the prompt.")


def _wait(cluster: Growing, caller: str, needed: int, total: int, timeout: float) -> bool:
    if cluster.online() >= needed:
        return True
    from tqdm.auto import tqdm

    end = time.monotonic() + timeout
    told = time.monotonic() + 2.0
    bar: Any = tqdm(
        total=total,
        desc=f"<{caller}> workers online",
        bar_format="{desc}: {n_fmt}/{total_fmt} [{elapsed}]{postfix}",
        leave=False,
        mininterval=0.2,
        file=sys.stderr,
        disable=None,
    )
    with bar:
        while (there := cluster.online()) < needed:
            if cluster.refused is not None:
                raise WorkerStartError(f"<{caller}> No workers come: {cluster.refused}")
            now = time.monotonic()
            if now >= end:
                return False
            if now >= told:
                told = now + _REASON_EVERY
                _tell(cluster, caller, bar)
            bar.n = there
            bar.refresh()
            time.sleep(_LOOK_EVERY)
    return True


def _tell(cluster: Growing, caller: str, bar: Any) -> None:
    reason = cluster.why_waiting()
    if reason and reason != getattr(bar, "reason_told", None):
        bar.reason_told = reason
        bar.clear()
        logger.info("<%s> INFO: Jobs are waiting. %s", caller, reason)
    if cluster.hopeless() and cluster.online() == 0 and reason:
        raise WorkerStartError(f"<{caller}> The jobs will not start as they are. {reason}")


def _ask(caller: str, there: int, total: int, timeout: float, because: str, patience: float) -> str:
    default = "c" if there else "a"
    go_on = f", [c]ontinue with {there}" if there else ""
    print(
        f"<{caller}> {there} of {total} workers are online after {timeout:g} seconds.{because}\n"
        f"[k]eep waiting{go_on} or [a]bort? ({default} after {patience:g} seconds) ",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip
    if patience > 0 and not select.select([sys.stdin], [], [], patience)[0]:
        print(default, file=sys.stderr)
        return default
    answer = sys.stdin.readline().strip().lower()[:1]
    return answer if answer in ("k", "c", "a") else default
