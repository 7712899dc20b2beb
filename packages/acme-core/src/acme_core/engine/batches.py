"""What the engine knows about a batch: before it is sent, and while it is on its way."""

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
    """Calls ``first`` to ``first + n_calls - 1`` and the items of their arguments."""

    first: int
    columns: tuple[Any, ...]
    n_calls: int
    attempt: int = 1
    suspect: bool = False
    deaths: int = 0

    @property
    def nbytes(self) -> int:
        """About how many bytes of arguments travel."""
        return sum(map(serialization.column_nbytes, self.columns))

    def part(self, start: int, stop: int, **changes: Any) -> PendingBatch:
        """Return calls ``start`` to ``stop - 1``, counted from the first of this batch."""
        columns = tuple(column[start:stop] for column in self.columns)
        return replace(
            self, first=self.first + start, columns=columns, n_calls=stop - start, **changes
        )


class Assignment(NamedTuple):
    """A batch that is to be sent, and the worker that shall run it; None leaves that to dask."""

    batch: PendingBatch
    worker: str | None


class BatchInFlight(NamedTuple):
    """A batch that is on its way, and the worker that was chosen for it."""

    future: Future
    batch: PendingBatch
    parcel: Parcel
    worker: str | None
