"""Errors that acme_core raises; each is also the builtin error that it resembles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AcmeError(Exception):
    """Base class of the errors that belong to ACME."""


class UnpicklableError(AcmeError, TypeError):
    """The function or one of its arguments cannot travel to a worker.

    Raised by :meth:`acme_core.ParallelMap.compute` before any worker is started.
    """


class ModulesChangedError(AcmeError, RuntimeError):
    """Modules that the workers of a client imported have changed on disk since.

    Raised only for a client that ACME did not start, because restarting its workers would
    destroy what else is kept there.
    """


class OutdatedWorkerError(AcmeError, RuntimeError):
    """A worker imported modules that have changed on disk since; it ran no call of this run."""


class WorkerDiedError(AcmeError, RuntimeError):
    """A call ended its worker process again and again; recorded as the failure of that call."""


class SharedFilesError(AcmeError, OSError):
    """A worker cannot read the file in which large arguments were handed over."""


class ComputeError(AcmeError, RuntimeError):
    """Some calls failed; the results of all others are kept.

    Raised by :meth:`acme_core.ParallelMap.compute` once the other calls have run. The first
    original exception is the ``__cause__``.

    Attributes
    ----------
    failures : dict of int to acme_io.record.Failure
        For each failed call its exception type, message and traceback, all as text.
    results : list or None
        What ``compute`` would have returned, with ``None`` for each failed call.
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

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.failures, self.results))
