"""The finished calls of an earlier run, and which of them had the arguments of today."""

import contextlib
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError, UnknownFileError
from acme_io.files.pickle_file import read_pickle_record
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_text
from acme_io.records.argument_text import (
    argument_texts,
    end_of_record,
    recorded_text,
    same_arguments,
    text_digest,
)
from acme_io.runs.container_scan import scan_from_container
from acme_io.runs.scan import STORED, Scan, scan

__all__ = ["Finished", "finished_calls", "scan_to_resume"]

Array = np.ndarray[Any, Any]

# Calls compared at a time, which bounds the memory of their texts to some megabytes.
_AT_ONCE = 10_000


class Finished:
    """The finished calls of an earlier run, for resuming it. Made by `finished_calls`.

    Attributes
    ----------
    run : RunInfo
        The run's identity.
    options : StorageOptions
        How its results are stored.
    calls : numpy.ndarray of int
        The finished calls, in order.
    """

    def __init__(self, output_dir: Path, found: Scan) -> None:
        self.run, self.options = found.run, found.options
        self.calls: Array = np.flatnonzero(np.isin(found.index.table.status, STORED))
        self._output_dir, self._index, self._texts = output_dir, found.index, found.arguments
        self._lines: tuple[str, int, list[str]] = ("", 0, [])

    def matching(
        self, names: Sequence[str], columns: Callable[[int, int], Sequence[Sequence[Any]]]
    ) -> Array:
        """Return the finished calls whose recorded arguments equal those of today.

        Parameters
        ----------
        names : sequence of str
            Names of the distributed arguments.
        columns : callable
            Called with a first call and one past the last; returns the values of each argument for
            these calls. Called in order, for all calls of the run.

        Returns
        -------
        numpy.ndarray of int
            These calls, in order. Calls whose records turn out to be damaged are no longer among
            the finished ones, `calls`.
        """
        found, readable = [], []
        for start in range(0, self.run.n_calls, _AT_ONCE):
            stop = min(start + _AT_ONCE, self.run.n_calls)
            now = argument_texts(names, columns(start, stop), stop - start)
            first, end = np.searchsorted(self.calls, (start, stop))
            some = self.calls[first:end]
            same = self._compare(some, [now[call - start] for call in some.tolist()])
            found.append(some[[one is True for one in same]])
            readable.append(some[[one is not None for one in same]])
        self.calls = np.concatenate(readable)
        return np.concatenate(found)

    def _compare(self, calls: Array, now: list[str]) -> list[bool | None]:
        """Compare the arguments of calls with those on record; None where these are damaged."""
        digests, numbers = self._index.arguments[calls], calls.tolist()
        same: list[bool | None] = [False] * len(numbers)
        # Rows have no digests, but files with many records each.
        if not self._texts and not digests.any():
            same = self._compare_lines(numbers, now)
        return [
            one or self._matches(call, digest, text)
            for one, call, digest, text in zip(same, numbers, digests.tolist(), now, strict=True)
        ]

    def _compare_lines(self, calls: list[int], now: list[str]) -> list[bool | None]:
        """Return which records end in the text of today's arguments."""
        same: list[bool | None] = []
        while len(same) < len(calls):
            at = len(same)
            first, lines = self._lines_with(calls[at])
            end = max(at + 1, bisect_left(calls, first + len(lines), at))
            if not first <= calls[at] < first + len(lines):
                same.append(False)
                continue
            recorded = [lines[call - first] for call in calls[at:end]]
            same += map(str.endswith, recorded, map(end_of_record, now[at:end]))
        return same

    def _matches(self, call: int, digest: int, text: str) -> bool | None:
        """Compare the arguments of a call with those on record; None if these are damaged."""
        if digest and digest == text_digest(text):
            return True
        recorded = self._texts.get(call)
        if recorded is None:
            recorded = self._recorded(call)
        return None if recorded is None else same_arguments(recorded, text)

    def _recorded(self, call: int) -> str | None:
        """Return the arguments of a call from the file with its record."""
        first, lines = self._lines_with(call)
        return recorded_text(lines[call - first]) if 0 <= call - first < len(lines) else None

    def _lines_with(self, call: int) -> tuple[int, list[str]]:
        """Return the first call of the file with a call, and its records; none if damaged."""
        file = self._index.files[call]
        if self._lines[0] != file:
            found: tuple[int, list[str]] = (0, [])
            with contextlib.suppress(OSError, UnknownFileError, KeyError, ValueError):
                found = _records_in(layout.local(self._output_dir, str(file)))
            self._lines = (str(file), *found)
        return self._lines[1:]


def _records_in(path: Path) -> tuple[int, list[str]]:
    """Return the first call of a file, and the records of all its calls; `OSError` if damaged."""
    if path.suffix == ".pickle":
        header, record, _ = read_pickle_record(path)
        return header.calls.start, [record]
    with CheckedFile(path) as checked:
        text = read_text(checked.root, "calls").rstrip(" ")
        # The records of a container have a checksum of their own if they are long.
        if not checked.confirms(text.encode()):
            raise DamagedFileError(f"The records in {path} have changed.")
        return checked.header.calls.start, text.split("\n")


def scan_to_resume(output_dir: Path, name: str) -> Scan:
    """Find the state of a run to be resumed; raise `UnknownFileError` if there is none."""
    return scan_from_container(output_dir, name) or scan(output_dir, name)


def finished_calls(output_dir: str | os.PathLike[str], name: str) -> Finished | None:
    """Find the calls of an earlier run whose results are on disk and undamaged.

    Parameters
    ----------
    output_dir : path_like
        The output directory.
    name : str
        The cleaned function name.

    Returns
    -------
    Finished or None
        None if the folder has no results of this function. A call counts as finished according to
        its own record, or to the container's table if its file has not changed since. The caller
        compares function, options and arguments.
    """
    folder = Path(output_dir).absolute()
    try:
        return Finished(folder, scan_to_resume(folder, name))
    except (UnknownFileError, FileNotFoundError):
        return None
