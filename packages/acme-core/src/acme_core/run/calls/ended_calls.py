"""The calls of a run that have ended and that its user has not taken yet.

::

    engine ─▶ CallStates.accept ─▶ EndedCalls.add ─▶ a few outcomes wait ─▶ take ─▶ the user's loop

Nothing of a call is kept once it is taken, so that a loop over a million calls needs as much memory
as one over a thousand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_core.run.calls.call_in_memory import BatchFacts, CallInMemory
from acme_core.transport.serialization import unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acme_core.arguments.distribution import Distribution
    from acme_core.transport.protocol import BatchOutcome
    from acme_core.transport.serialization import Packed
    from acme_io import Call, Slots
    from acme_io.backend import RunStore

    # Read from disk when it is asked for its value, or with its value.
    EndedCall = Call | CallInMemory

__all__ = ["EndedCalls"]


class EndedCalls:
    """The calls of one run, in the order in which this process learns that they have ended.

    Parameters
    ----------
    distribution : Distribution
        The arguments.
    store : acme_io.backend.RunStore or None
        The files of the run; `None` for results in memory.
    slots : acme_io.Slots or None
        How values in memory would be stacked.
    """

    def __init__(
        self, distribution: Distribution, store: RunStore | None, slots: Slots | None
    ) -> None:
        self._distribution, self._store, self._slots = distribution, store, slots
        # Retried calls come back several times, and dask repeats batches whose worker is gone.
        self._known = np.zeros(distribution.n_calls, bool)
        self._waiting: deque[Iterable[EndedCall]] = deque()

    def __len__(self) -> int:
        """Return the number of outcomes with calls that were not taken."""
        return len(self._waiting)

    def add_earlier(self, calls: NDArray[Any]) -> None:
        """Add calls on disk whose results an earlier run left."""
        assert self._store is not None
        self._known[calls] = True
        self._waiting.append(map(self._store.call, map(int, calls)))

    def add(self, outcome: BatchOutcome, again: Set[int]) -> None:
        """Add the calls of an outcome, without those in ``again``, which will be tried again."""
        calls: Sequence[int] = range(outcome.first, outcome.first + outcome.n_calls)
        part = slice(outcome.first, outcome.first + outcome.n_calls)
        if again or self._known[part].any():
            calls = [call for call in calls if call not in again and not self._known[call]]
            self._known[calls] = True
        else:
            self._known[part] = True
        if not calls:
            return
        if self._store is None:
            assert outcome.values is not None
            batch, values = BatchFacts(outcome, self._distribution), list(outcome.values)
            # The outcome itself is not kept: it refers to all values.
            self._waiting.append(self._in_memory(batch, calls, values, outcome.frozen))
        else:
            self._waiting.append(map(self._store.call, calls))

    def _in_memory(
        self, batch: BatchFacts, calls: Sequence[int], values: list[Any], frozen: dict[int, Packed]
    ) -> Iterator[CallInMemory]:
        for call in calls:
            # Each value is let go as it is taken: a few may be as large as memory allows.
            at = call - batch.first
            value, values[at] = values[at], None
            if call in frozen:
                value = unpacked(frozen.pop(call))
            if self._slots is not None and value is not None:
                row, others = value
                value = (row, *others) if others else row
            yield CallInMemory(call, value, batch)

    def take(self) -> Iterator[EndedCall]:
        """Yield and forget the calls that wait, also those that are added meanwhile.

        The next call of this method goes on where an iteration was left.
        """
        while self._waiting:
            # Not `yield from`, which would close the iterator together with this one.
            for call in self._waiting[0]:  # noqa: UP028
                yield call
            self._waiting.popleft()
