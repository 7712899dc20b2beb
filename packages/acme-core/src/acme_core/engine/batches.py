"""The engine's view of a batch: before it is sent, and while it is in flight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from acme_core.transport import serialization

if TYPE_CHECKING:
    from distributed import Future as DaskFuture

    from acme_core.transport.large_objects import Parcel

    Future = DaskFuture[Any]

__all__ = ["Assignment", "BatchInFlight", "PendingBatch"]


@dataclass(frozen=True)
class PendingBatch:
    """Calls ``first`` to ``first + n_calls - 1`` with the items of their distributed arguments.

    Attributes
    ----------
    first, n_calls : int
        The calls.
    columns : tuple
        One sequence of ``n_calls`` items per distributed argument.
    attempt : int
        1 for the first evaluation of these calls.
    suspect : bool
        Whether the calls were at a worker when it died.
    deaths : int
        Number of workers that died while this call was the only one that they had.
    """

    first: int
    columns: tuple[Any, ...]
    n_calls: int
    attempt: int = 1
    suspect: bool = False
    deaths: int = 0

    @property
    def nbytes(self) -> int:
        """Approximate size of the arguments that travel, in bytes."""
        return sum(map(serialization.column_nbytes, self.columns))

    def part(self, start: int, stop: int, **changes: Any) -> PendingBatch:
        """Return calls ``start`` to ``stop - 1``, counted from the first call of this batch."""
        # Arrays and ranges are sliced without a copy.
        columns = tuple(column[start:stop] for column in self.columns)
        return replace(
            self, first=self.first + start, columns=columns, n_calls=stop - start, **changes
        )


class Assignment(NamedTuple):
    """A batch to send, and the worker to run it; `None` leaves the choice to dask.

    It ends with the call during which its ``seconds`` are over.
    """

    batch: PendingBatch
    worker: str | None
    seconds: float


@dataclass
class BatchInFlight:
    """A batch that was sent.

    Attributes
    ----------
    future : distributed.Future
        Its dask task.
    batch : PendingBatch
        Its calls that are neither reported nor taken back.
    parcel : Parcel
        Its packed arguments.
    chosen : str or None
        The worker that the engine chose for it, if any.
    worker : str or None
        The worker that it is at, as far as that is known.
    heard : float
        When it was sent or last reported, by the monotonic clock.
    begun : bool
        Whether it has reported anything.
    asked : float
        When its worker was last asked to give up the calls that are not begun, by that clock.
    """

    future: Future
    batch: PendingBatch
    parcel: Parcel
    chosen: str | None
    worker: str | None
    heard: float
    begun: bool = False
    asked: float = float("-inf")
