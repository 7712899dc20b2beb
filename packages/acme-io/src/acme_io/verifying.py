"""Check every byte of a run's files."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .checksum import fits
from .errors import AcmeIOError
from .opening import SealedFile
from .pickling import read_pickle_record
from .reader import open_results
from .record import DONE, PICKLED
from .seal import read_seal
from .single_source import SingleSource
from .sources import LinkedSource, PickleSource, Source, read_container
from .stacked_source import StackedSource
from .stacking import as_stored
from .stored_table import StoredTable

__all__ = ["Problem", "verify"]


class Problem(NamedTuple):
    """Something that is not as it was written.

    Attributes
    ----------
    calls : list of int
        The calls concerned; empty where it is not known or concerns the record only.
    reason : str
        What is wrong with which file.
    """

    calls: list[int]
    reason: str


def verify(path: str | os.PathLike[str]) -> list[Problem]:
    """Compare every byte of a run's files with their checksums.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.

    Returns
    -------
    list of Problem
        Empty if everything is as it was written.

    Raises
    ------
    FileNotFoundError, UnknownFileError
        There are no results.
    """
    try:
        results = open_results(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return [Problem([], str(error))]
    with results:
        source = results._source
        problems = _check_container(source.path)
        if isinstance(source.table, StoredTable):
            try:
                source.table.read_all()
            except (AcmeIOError, OSError):  # reported above; there is nothing to compare calls with
                return problems
        if isinstance(source, StackedSource):
            problems += _verify_stacked(source)
        elif isinstance(source, SingleSource):
            problems += _verify_single(source)
        for call in np.flatnonzero(source.table.status == DONE):
            if isinstance(source, (LinkedSource, PickleSource)):
                problems += _verify_file(source, int(call))
        if not isinstance(source, PickleSource):
            for call in np.flatnonzero(source.table.status == PICKLED):
                problems += _verify_file(source, int(call))
        return problems


def _check_container(path: Path) -> list[Problem]:
    if not path.exists():
        return [Problem([], f"{path} does not exist; acme-io rebuild makes it from the payloads.")]
    try:
        with SealedFile(path, "all") as sealed:
            table = read_container(sealed).table
        if isinstance(table, StoredTable):
            table.read_all()
    except (AcmeIOError, OSError) as error:
        return [Problem([], str(error))]
    return []


def _verify_file(source: Source, call: int) -> list[Problem]:
    path = source.file(call)
    try:
        if path.suffix == ".pickle":
            seal, _, _ = read_pickle_record(path, check=True)
        else:
            seal = read_seal(path, check="all")
        source.belongs(seal, path, call)
    except (AcmeIOError, OSError) as error:
        return [Problem([call], str(error))]
    if seal.checksum != int(source.table.checksum[call]):
        return [Problem([call], f"{path} is not the file that the container was made with.")]
    return []


def _verify_single(source: SingleSource) -> list[Problem]:
    problems = []
    for call in np.flatnonzero(source.table.status == DONE):
        try:
            known, found = int(source.table.checksum[call]), source.load(int(call))
        except (AcmeIOError, OSError) as error:
            problems.append(Problem([int(call)], str(error)))
            continue
        if not fits(known, found.arrays):
            reason = f"The data of call {call} in {source.path} have changed."
            problems.append(Problem([int(call)], reason))
    return problems


def _verify_stacked(source: StackedSource) -> list[Problem]:
    """Check the source files whole, and name the rows that have changed."""
    problems = []
    for file in dict.fromkeys(file for file, _ in source.sources):
        calls = [c for held, run in source.sources if held == file for c in run]
        done = [call for call in calls if source.table.status[call] == DONE]
        path = source.place(file)
        try:
            if path != source.path:
                read_seal(path, check="all")
        except (AcmeIOError, OSError) as error:
            rows = [call for call in done if not _row_is_whole(source, call)]
            problems.append(Problem(rows or done, str(error)))
            continue
        rows = [call for call in done if not _row_is_whole(source, call)]
        if rows:
            problems.append(Problem(rows, f"Rows in {path} have changed."))
    return problems


def _row_is_whole(source: StackedSource, call: int) -> bool:
    try:
        row = source.load(call).arrays[0]
    except (AcmeIOError, OSError):
        return False
    known = int(source.table.checksum[call]) & 0xFFFFFFFF
    return row is not None and fits(known, [as_stored(row)])
