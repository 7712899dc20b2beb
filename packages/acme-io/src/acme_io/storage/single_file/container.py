"""The container of a single-file run, filled with part files as they arrive."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from acme_io import layout
from acme_io.errors import DamagedFileError
from acme_io.files import atomic
from acme_io.files.checksum import LARGE
from acme_io.hdf5.record_lines import RecordLines
from acme_io.records.call_record import DONE
from acme_io.records.run_record import RunFiles
from acme_io.storage.background import BackgroundWork
from acme_io.storage.call_index import CallIndex
from acme_io.storage.finisher import BaseFinisher
from acme_io.storage.single_file.assembler import Assembler
from acme_io.storage.single_file.part_file import PartFile
from acme_io.storage.single_file.part_source import ContainerPart

logger = logging.getLogger(__name__)


class SingleFileFinisher(BaseFinisher):
    """Copies part files into one container as they arrive, in a thread of its own.

    The container is written once: a retried call, or an error on the way, means to start over with
    the part files when the run ends.
    """

    layout = "single"

    def __init__(self, run: RunFiles, index: CallIndex) -> None:
        super().__init__(run, index)
        self._assembler: Assembler | None = None
        self._background = BackgroundWork("acme-io assembly")
        self._added = _Added(index.n_calls)
        self._lines = RecordLines(index.n_calls, run.output_dir)
        self._error: Exception | None = None

    def taken(self, calls: Sequence[int]) -> None:
        """Start copying new part files into the container."""
        for file, group in self._by_file(calls).items():
            self._background.submit(self._try_add, file, group)

    def _by_file(self, calls: Iterable[int]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        files, status = self.index.files, self.index.table.status
        for call in calls:
            file = files[call]
            if file is not None and status[call] == DONE:
                groups.setdefault(file, []).append(call)
        return groups

    def _try_add(self, file: str, calls: list[int]) -> None:
        """Add a part during the run; after a failure, `finish` tries again and raises."""
        if self._error is None:
            try:
                self._add(file, calls)
            except Exception as error:
                logger.debug(
                    "The container must be assembled again, %s could not be added: %s", file, error
                )
                self._error = error

    def _add(self, file: str, calls: list[int]) -> None:
        path = layout.local(self.run.output_dir, file)
        # In a resumed run, results of the earlier run are in the container itself.
        part = ContainerPart(path) if path == self.container else PartFile(path)
        try:
            self._added.note(calls, file)
            for call in calls:
                if call not in part:
                    raise DamagedFileError(f"{part.path} lacks the result of call {call}.")
            # The size of the header is fixed when the file is made: the first call stands for all.
            if self._assembler is None:
                n_large = sum(field.nbytes >= LARGE for field, _ in part.datasets(calls[0]))
                self._assembler = self._assembler_for(n_large)
            checksums = self.index.table.checksum
            self._assembler.take(part, calls, checksums[calls].tolist())
            self._lines.add(calls, [part.record(call) for call in calls])
        finally:
            part.close()

    def _assembler_for(self, n_large: int) -> Assembler:
        return Assembler(self.container, self.run.stamp.run_id, self.index.n_calls, n_large)

    def finish(self) -> None:
        """Complete the container and remove the part files."""
        self._background.settle()
        self._complete()
        # Parts go only after the container has its name and is on disk.
        atomic.remove_folder(self.run.output_dir / layout.parts_folder(self.run.name))

    def _complete(self) -> None:
        """Write the container, after starting over if it does not match the index."""
        wanted = self._by_file(range(self.index.n_calls))
        # A retried call has its new result in another part than the one added before.
        if self._error is not None or not self._added.matches(wanted):
            self._start_over()
            for file, calls in wanted.items():
                self._add(file, calls)
        if self._assembler is None:  # no call has a result
            self._assembler = self._assembler_for(0)
        self._assembler.finish(self._description(), self._lines)
        self._assembler = None

    def _start_over(self) -> None:
        if self._assembler is not None:
            self._assembler.abort()
        self._assembler, self._error = None, None
        self._added = _Added(self.index.n_calls)
        self._lines.clear()

    def payload_files(self) -> list[str | None]:
        """Return the container, which holds all results."""
        return [layout.container_name(self.run.name)]

    def close(self) -> None:
        """Stop copying and remove an unfinished container."""
        self._background.close()
        if self._assembler is not None:
            self._assembler.abort()
            self._assembler = None
        self._lines.close()


class _Added:
    """The calls added to the container, and the file each was read from."""

    def __init__(self, n_calls: int) -> None:
        # Numbers of files, from 1; 0 for calls not added. Four bytes a call, for millions of calls.
        self._file_of = np.zeros(n_calls, "<u4")
        self._numbers: dict[str, int] = {}

    def note(self, calls: Sequence[int], file: str) -> None:
        """Record calls as added.

        Raises
        ------
        DamagedFileError
            One of them was added before.
        """
        before = self._file_of[calls]
        if before.any():
            raise DamagedFileError(f"Call {calls[int(before.argmax())]} was added twice.")
        self._file_of[calls] = self._numbers.setdefault(file, len(self._numbers) + 1)

    def matches(self, wanted: Mapping[str, Sequence[int]]) -> bool:
        """Whether exactly the calls of these files were added."""
        expected = np.zeros_like(self._file_of)
        for file, calls in wanted.items():
            expected[calls] = self._numbers.get(file, _UNKNOWN)
        return bool((expected == self._file_of).all())


# A number that no file has: stands for files of which nothing was added.
_UNKNOWN = 2**32 - 1
