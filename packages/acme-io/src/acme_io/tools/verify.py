"""Verify every byte of a run's files."""

import os
from pathlib import Path

from acme_io.errors import AcmeIOError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.stored_table import StoredTable
from acme_io.results.results import open_results
from acme_io.storage.container_facts import read_facts
from acme_io.storage.source import Problem

__all__ = ["Problem", "verify"]


def verify(path: str | os.PathLike[str]) -> list[Problem]:
    """Compare every byte of a run's files with their checksums.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.

    Returns
    -------
    list of Problem
        Empty if no byte has changed.

    Raises
    ------
    FileNotFoundError, UnknownFileError
        The path does not exist, or acme-io did not write it.
    """
    try:
        results = open_results(path)
    # `DamagedFileError` is an OSError: a container that cannot be opened is a problem to report.
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return [Problem([], str(error))]
    with results:
        source = results._source
        problems = _check_container(source.path)
        # A stored table reads its columns on access. All are read now, since checksums are among
        # them; those of a scanned run were read with the payloads.
        if isinstance(source.table, StoredTable):
            try:
                source.table.read_all()
            except (AcmeIOError, OSError):
                # Reported by `_check_container`. Without checksums the calls cannot be checked.
                return problems
        return problems + source.problems()


def _check_container(path: Path) -> list[Problem]:
    if not path.exists():
        return [
            Problem(
                [],
                f"{path} does not exist. `acme-io rebuild {path.parent}` creates it from the "
                "payloads.",
            )
        ]
    try:
        # Opened again: the reader's handle checked the structure only, not the data.
        with CheckedFile(path, "all") as checked:
            table = read_facts(checked).table
        if isinstance(table, StoredTable):
            table.read_all()
    except (AcmeIOError, OSError) as error:
        return [Problem([], str(error))]
    return []
