"""Results that are on disk although no receipt of them came: those of a run that ended early.

A worker writes a result first and tells the client afterwards. Who ends the run in between finds
the file by looking for it.
"""

import os
from pathlib import Path

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.runs.scan import Scan, payloads_in, scan

__all__ = ["RecoveredResults"]

_Identity = tuple[int, int, int]


class RecoveredResults:
    """Finds payloads that a run has written.

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
        """Leave out what is there now.

        A resumed run does not keep all that it finds: not what has other arguments, for instance.
        """
        files = payloads_in(self._output_dir, self._name)
        self._earlier = {file: self._identity(file) for file, _ in files}

    def find(self, run_id: str, known: set[str]) -> Scan | None:
        """Read payloads that are new and not among those that are known.

        Parameters
        ----------
        run_id : str
            The run to which they have to belong.
        known : set of str
            Paths relative to the output directory.

        Returns
        -------
        Scan or None
            None if there are none.
        """

        def is_new(file: str) -> bool:
            return file not in known and self._identity(file) != self._earlier.get(file)

        try:
            found = scan(self._output_dir, self._name, is_new)
        except UnknownFileError:
            return None
        return found if found.run.run_id == run_id else None

    def _identity(self, file: str) -> _Identity | None:
        # A result that is written again comes by renaming, as another file.
        try:
            status = os.stat(layout.local(self._output_dir, file))
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
