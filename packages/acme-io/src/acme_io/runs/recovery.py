"""Recover results on disk whose receipts never reached the client, after a run that ended early.

A worker writes a result before it sends the receipt. If the run ends in between, the file is found
by listing the payload folders.
"""

import os
from pathlib import Path

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.runs.scan import Scan, payloads_in, scan

__all__ = ["RecoveredResults"]

_Identity = tuple[int, int, int]


class RecoveredResults:
    """Finds the payloads that a run wrote without a receipt.

    Parameters
    ----------
    output_dir : pathlib.Path
        The output directory.
    name : str
        The cleaned function name.
    """

    def __init__(self, output_dir: Path, name: str) -> None:
        self._output_dir, self._name = output_dir, name
        self._earlier: dict[str, _Identity | None] = {}

    def leave_out_earlier(self) -> None:
        """Ignore the files that exist now.

        A resumed run drops some of the results that it finds, for instance those of other
        arguments. They have the id of this run, so that only time tells them from new results.
        """
        files = payloads_in(self._output_dir, self._name)
        self._earlier = {file: self._identity(file) for file, _ in files}

    def find(self, run_id: str, known: set[str]) -> Scan | None:
        """Read the payloads that are new and not yet known.

        Parameters
        ----------
        run_id : str
            The run that the payloads must belong to.
        known : set of str
            Payloads with a receipt, as paths relative to the output directory.

        Returns
        -------
        Scan or None
            The records of the new payloads; None without any.
        """

        def is_new(file: str) -> bool:
            return file not in known and self._identity(file) != self._earlier.get(file)

        try:
            found = scan(self._output_dir, self._name, is_new)
        except UnknownFileError:  # no payload passed the filter
            return None
        # Of several runs, `scan` returns the latest, so another id means that none is of this run.
        return found if found.run.run_id == run_id else None

    def _identity(self, file: str) -> _Identity | None:
        # A result written again arrives by rename, as another inode. The file system may reuse an
        # inode number, hence time and size as well.
        try:
            status = os.stat(layout.local(self._output_dir, file))
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
