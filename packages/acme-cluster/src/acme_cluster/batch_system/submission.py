"""Submission of jobs: a few at a time, and none once the cluster ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from acme_cluster.errors import CommandError
from acme_cluster.slurm import query

__all__ = ["Gate", "call"]

# dask starts all submissions at once. A controller that gets hundreds of them makes all wait, and
# each is a process on the login node.
_CONCURRENT_SUBMISSIONS = 8


async def call(command: Sequence[str], timeout: float = 60.0) -> str:
    """Run a command of the batch system, without the variables of a surrounding job.

    The counterpart of :func:`acme_cluster.slurm.query.run` for the event loop of the scheduler,
    which a blocking command would hold up.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    timeout : float, default 60
        Seconds after which the command is killed.

    Returns
    -------
    str
        Standard output.

    Raises
    ------
    CommandError
        The command failed or did not answer.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env=query.clean_environment()
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        # asyncio neither kills nor reaps the process of a cancelled `communicate`.
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
    """Lets a few submissions through at a time, and none once the cluster ends.

    Attributes
    ----------
    open : bool
        Set to False when the cluster ends.
    refusal : str or None
        The batch system's error for the first job that it refused.
    """

    def __init__(self) -> None:
        self.open = True
        self.refusal: str | None = None
        # Made in the user's thread, used in dask's: a semaphore takes its event loop when it is
        # first waited for (Python 3.10).
        self._turns = asyncio.Semaphore(_CONCURRENT_SUBMISSIONS)
        self._running: set[asyncio.Future[Any]] = set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn to submit.

        Raises
        ------
        OSError
            The cluster is ending: nothing may be submitted.
        """
        async with self._turns:
            # Checked after the wait, in which the cluster may have begun to end.
            if not self.open:
                raise OSError("The cluster is ending.")
            yield

    async def submit(self, submission: Coroutine[Any, Any, Any]) -> None:
        """Wait for a turn, then submit.

        Parameters
        ----------
        submission : coroutine
            Runs the command; its exceptions are passed on.

        Raises
        ------
        OSError
            The cluster is ending.
        """
        try:
            async with self.turn():
                running = asyncio.ensure_future(submission)
                self._running.add(running)
                try:
                    await running
                except asyncio.CancelledError:
                    # With the gate closed it was `settle` that cancelled the submission, not a
                    # cancellation of the task that awaits it: that one only gets an error.
                    if self.open:
                        raise
                    raise OSError("The cluster is ending.") from None
                finally:
                    self._running.discard(running)
        finally:
            # Without a turn it was never awaited, which Python would warn of.
            submission.close()

    async def settle(self, grace: float) -> None:
        """Wait for submissions in flight, and stop those that hang.

        If a stopped submission succeeded nevertheless, its job ends as soon as it starts, because
        its worker finds the cluster gone.

        Parameters
        ----------
        grace : float
            Seconds to wait before the others are stopped.
        """
        if self._running:
            _, hanging = await asyncio.wait(set(self._running), timeout=grace)
            for submission in hanging:
                submission.cancel()
