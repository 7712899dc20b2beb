"""Errors that acme_core raises; each one is also a subclass of a related builtin error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AcmeError(Exception):
    """Base class of ACME's own errors."""


class UnpicklableError(AcmeError, TypeError):
    """The function or one of its arguments cannot be pickled for the workers.

    Raised by :meth:`acme_core.ParallelMap.compute` before any worker is started.
    """


class ModulesChangedError(AcmeError, RuntimeError):
    """Modules that the workers have imported have changed on disk since.

    Raised only for a client that ACME did not start: a restart of its workers would destroy the
    user's other data there. Call ``client.restart()`` and compute again.
    """


class OutdatedWorkerError(AcmeError, RuntimeError):
    """A worker has imported modules that have changed on disk since; it ran no call of this run.

    Internal: ACME restarts its own workers, and raises `ModulesChangedError` for others.
    """


class WorkerDiedError(AcmeError, RuntimeError):
    """A call ended its worker process repeatedly; recorded as the failure of that call."""


class SharedFilesError(AcmeError, OSError):
    """A worker cannot read the file with large arguments, which its machine does not share."""


class ComputeError(AcmeError, RuntimeError):
    """Some calls failed; the results of all others are kept.

    Raised by :meth:`acme_core.ParallelMap.compute` after the other calls have run, and by
    :meth:`acme_core.ParallelMap.as_completed` after it has yielded all calls. The ``__cause__`` is
    the original exception of one of them.

    Attributes
    ----------
    failures : dict of int to acme_io.backend.Failure
        Exception type, message, traceback and arguments of each failed call.
    results : list or None
        The list that ``compute`` would have returned, with ``None`` for each failed call; ``None``
        after ``as_completed``.
    """

    def __init__(
        self,
        message: str,
        failures: Mapping[int, Any] | None = None,
        results: list[Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.failures = dict(failures or {})
        self.results = results

    # By default, exceptions are pickled with `args` only, and would lose failures and results.
    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.failures, self.results))
