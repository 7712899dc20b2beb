"""Results that were pickled because HDF5 cannot hold them: counted, for one warning per run."""

from __future__ import annotations

from typing import Any

import numpy as np

# Reasons that are told apart; the number of one fits a byte. A reason may name a key of a dict, so
# each call may have its own.
_MOST_REASONS = 200
# Reasons in the warning.
_SHOWN = 3


class PickledResults:
    """Counts pickled calls by reason.

    Parameters
    ----------
    n_calls : int
        Number of calls of the run.
    """

    def __init__(self, n_calls: int) -> None:
        self._n_calls = n_calls
        self._reasons: list[str] = []
        # Number of the reason per call, from 1. Most runs have none.
        self._of_call: np.ndarray[Any, Any] | None = None

    def note(self, notes: dict[int, str]) -> None:
        """Record the reasons of some calls."""
        if notes and self._of_call is None:
            self._of_call = np.zeros(self._n_calls, np.uint8)
        for call, reason in notes.items():
            if reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
                self._reasons.append(reason)
            known = reason in self._reasons
            assert self._of_call is not None
            self._of_call[call] = self._reasons.index(reason) + 1 if known else _MOST_REASONS + 1

    def summary(self, pickled: np.ndarray[Any, Any]) -> str:
        """Return the text of the warning, empty if there is nothing new; forget these calls.

        Parameters
        ----------
        pickled : numpy.ndarray
            Whether each call is a pickle. Calls may have been repeated since they were noted.
        """
        if self._of_call is None:
            return ""
        numbers = np.where(pickled, self._of_call, 0)
        self._of_call = None
        counts = np.bincount(numbers, minlength=_MOST_REASONS + 2)
        total = int(counts[1:].sum())
        if not total:
            return ""
        common = np.argsort(-counts[1:], kind="stable")[:_SHOWN] + 1
        parts = [
            f"{_calls(int(counts[number]), int(np.argmax(numbers == number)))}: "
            f"{self._reason(int(number))}"
            for number in common
            if counts[number]
        ]
        if (counts[1:] > 0).sum() > _SHOWN:
            parts.append("The other reasons are left out here.")
        noun = "result was" if total == 1 else "results were"
        return f"{total} {noun} pickled. {' '.join(parts)}"

    def _reason(self, number: int) -> str:
        return self._reasons[number - 1] if number <= _MOST_REASONS else "HDF5 cannot hold them."


def _calls(count: int, first: int) -> str:
    return f"Call {first}" if count == 1 else f"{count} calls, the first is call {first}"
