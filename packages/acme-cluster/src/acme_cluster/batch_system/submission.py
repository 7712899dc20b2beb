"""Submitting jobs: a few at a time, and none once the cluster ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from acme_cluster.errors import CommandError
from acme_cluster.slurm import query

__all__ = ["Gate", "call"]

# Submissions at a time: a controller that gets hundreds at once makes all of them wait.
_AT_A_TIME = 8


async def call(command: Sequence[str], timeout: float = 60.0) -> str:
    """Run a command of the batch system, without the traces of a surrounding job.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    timeout : float, default 60
        Seconds after which it is stopped.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    CommandError
        It failed or did not answer.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env=query.clean_environment()
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise CommandError(command, None, f"nothing within {timeout:.0f} s") from None
    except asyncio.CancelledError:
        process.kill()
        await process.communicate()
        raise
    if process.returncode:
        raise CommandError(command, process.returncode, (out + err).decode(errors="replace"))
    return out.decode(errors="replace")


class Gate:
    """Lets a few submissions through at a time, and none once the cluster ends."""

    def __init__(self) -> None:
        self.open = True
        self.refusal: str | None = None
        self._turns: asyncio.Semaphore | None = None
        self._running: set[asyncio.Future[Any]] = set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to submit.

        Raises
        ------
        OSError
            The cluster is ending, nothing is to be submitted any more.
        """
        if self._turns is None:
            self._turns = asyncio.Semaphore(_AT_A_TIME)
        async with self._turns:
            if not self.open:
                raise OSError("The cluster is ending.")
            yield

    async def submit(self, submission: Coroutine[Any, Any, Any]) -> None:
        """Wait for a turn, then submit.

        Parameters
        ----------
        submission : coroutine
            Runs the command.

        Raises
        ------
        OSError
            The cluster is ending; or what the command raises.
        """
        try:
            async with self.turn():
                running = asyncio.ensure_future(submission)
                self._running.add(running)
                try:
                    await running
                except asyncio.CancelledError:
                    if self.open:
                        raise
                    raise OSError("The cluster is ending.") from None
                finally:
                    self._running.discard(running)
        finally:
            submission.close()

    async def settle(self, grace: float) -> None:
        """Wait for submissions that are under way, and stop those that hang.

        A job that was accepted all the same ends as soon as it starts: its cluster has gone.

        Parameters
        ----------
        grace : float
            Seconds to wait.
        """
        if self._running:
            _, hanging = await asyncio.wait(set(self._running), timeout=grace)
            for submission in hanging:
                submission.cancel()
