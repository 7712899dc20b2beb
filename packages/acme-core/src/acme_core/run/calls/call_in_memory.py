"""One call whose value is in memory, with the interface of `acme_io.Call`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acme_io.backend import FailedCallError, describe

if TYPE_CHECKING:
    from acme_core.arguments.distribution import Distribution
    from acme_core.transport.protocol import BatchOutcome
    from acme_io.backend import Failure

__all__ = ["BatchFacts", "CallInMemory"]


class BatchFacts:
    """What the calls of one outcome have in common; without their values.

    Whoever keeps a single call must not keep the values of all others.

    Parameters
    ----------
    outcome : BatchOutcome
        The outcome.
    distribution : Distribution
        The arguments.
    """

    def __init__(self, outcome: BatchOutcome, distribution: Distribution) -> None:
        self.first, self.worker = outcome.first, outcome.worker
        self.started, self.seconds = outcome.started, outcome.seconds
        self.peak_memory = outcome.peak_memory
        self.failures = {call: failure.record for call, failure in outcome.failures.items()}
        self.distribution = distribution


class CallInMemory:
    """One call of a run with results in memory. Made by `ParallelMap.as_completed`.

    Parameters
    ----------
    number : int
        The call's number.
    value : object
        What it returned.
    batch : BatchFacts
        All else that is known about it.

    Attributes
    ----------
    number : int
        The call's number.
    """

    # A million of them may be made, one after the other.
    __slots__ = ("_batch", "_value", "number")

    def __init__(self, number: int, value: Any, batch: BatchFacts) -> None:
        self.number, self._value, self._batch = number, value, batch

    def __repr__(self) -> str:
        """Return the call's number and status."""
        return f"<Call {self.number}: {self.status}>"

    @property
    def index(self) -> int:
        """The call's number."""
        return self.number

    @property
    def status(self) -> str:
        """`"done"` or `"failed"`."""
        return "failed" if self.number in self._batch.failures else "done"

    @property
    def failure(self) -> Failure | None:
        """Type, message and traceback of the exception, if the call failed."""
        return self._batch.failures.get(self.number)

    @property
    def values(self) -> Any:
        """The return value of the call.

        Raises
        ------
        FailedCallError
            The call raised an exception.
        """
        failure = self.failure
        if failure is not None:
            raise FailedCallError.of(self.number, failure.type, failure.message, failure.traceback)
        return self._value

    @property
    def arguments(self) -> dict[str, Any]:
        """The call's distributed arguments: small ones by value, others as a summary.

        Those that came from an iterator are known only for failed calls.
        """
        if self.failure is not None:
            return dict(self.failure.arguments)
        distribution = self._batch.distribution
        if distribution.reads_iterators:
            return {}
        columns = distribution.columns(self.number, self.number + 1)
        names = distribution.template.distributed_names
        return {name: describe(column[0]) for name, column in zip(names, columns, strict=True)}

    @property
    def record(self) -> dict[str, Any]:
        """The record of the call: start, seconds, peak memory, worker, arguments."""
        batch, at = self._batch, self.number - self._batch.first
        facts = {
            "call": self.number,
            "status": self.status,
            "started": batch.started[at],
            "seconds": batch.seconds[at],
            "peak_memory": batch.peak_memory[at],
            "worker": batch.worker,
            "arguments": self.arguments,
        }
        return facts if self.failure is None else facts | {"failure": self.failure}

    def __getattr__(self, name: str) -> Any:
        """Return one of several return values: `result_0`, `result_1` and so on."""
        index = name.removeprefix("result_")
        if name == index or not index.isdigit():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        # As in HDF5 files, a tuple means several return values.
        several = self.values if isinstance(self.values, tuple) else (self.values,)
        if int(index) >= len(several):
            raise AttributeError(f"Call {self.number} has no {name}.")
        return several[int(index)]
