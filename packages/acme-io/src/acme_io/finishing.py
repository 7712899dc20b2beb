"""How accepted payloads become one file: one class per way of storing results.

All of them look at the same `Ledger`. `taken` is called when receipts have changed it, `finish`
once at the end of a run, or of a rebuild.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import files, layout
from .assembly import Assembler
from .checksum import LARGE
from .container import Description, external_links, write_container
from .errors import DamagedFileError
from .ledger import Ledger
from .lines import RecordLines
from .parts import PartFile
from .payload import RunStamp
from .record import DONE, CallTable
from .single_source import ContainerPart

__all__ = ["BaseFinisher", "Finisher", "LinkFinisher", "PickleFinisher", "SingleFinisher"]

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


class Finisher(Protocol):
    """Turns payloads into one file."""

    def taken(self, calls: Sequence[int]) -> None:
        """Take note of new payloads; may begin to work on them."""

    def finish(self, table: CallTable) -> None:
        """Write the container or record."""

    def payload_files(self) -> list[str | None]:
        """Paths of the payloads, relative to the output directory."""

    def close(self) -> None:
        """Stop work that is going on and remove temporary files."""


class BaseFinisher:
    """What all ways of storing results have in common."""

    layout = ""

    def __init__(self, output_dir: Path, name: str, stamp: RunStamp, ledger: Ledger) -> None:
        self.output_dir, self.name, self.stamp, self.ledger = output_dir, name, stamp, ledger

    @property
    def container(self) -> Path:
        """Final path of the container."""
        return self.output_dir / layout.container_name(self.name)

    def taken(self, calls: Sequence[int]) -> None:
        """Nothing to do before the end."""

    def payload_files(self) -> list[str | None]:
        """Return the file of every call."""
        return list(self.ledger.files)

    def close(self) -> None:
        """Nothing is open."""

    def _about(
        self, table: CallTable, texts: dict[str, str] | None = None, columns: Any = None
    ) -> Description:
        return Description(self.stamp, self.layout, table, texts or {}, columns or {})

    def _remove_unused(self) -> None:
        for file in self.ledger.unused():
            files.remove(layout.local(self.output_dir, file))
        self.ledger.superseded.clear()


class LinkFinisher(BaseFinisher):
    """One payload per call; the container links to them."""

    layout = "links"

    def finish(self, table: CallTable) -> None:
        """Write the container."""
        full = self.ledger.completed(table)
        links = (
            (call, file, "/")
            for call, file in enumerate(self.ledger.files)
            if file is not None and full.status[call] == DONE
        )
        write_container(self.container, "container", self._about(full), external_links(links))


class PickleFinisher(BaseFinisher):
    """One pickle per call; a record beside them."""

    layout = "pickles"

    def finish(self, table: CallTable) -> None:
        """Write the record."""
        path = self.output_dir / layout.record_name(self.name)
        write_container(path, "record", self._about(self.ledger.completed(table)))


class SingleFinisher(BaseFinisher):
    """Part files, copied into one container as they come in."""

    layout = "single"

    def __init__(self, output_dir: Path, name: str, stamp: RunStamp, ledger: Ledger) -> None:
        super().__init__(output_dir, name, stamp, ledger)
        self._assembler: Assembler | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="acme-io assembly")
        self._work: list[Future[None]] = []
        self._added = _Added(ledger.n_calls)
        self._lines = RecordLines(ledger.n_calls, output_dir)
        self._trouble: Exception | None = None

    def taken(self, calls: Sequence[int]) -> None:
        """Copy new parts into the container that is being made."""
        self._work = [future for future in self._work if not future.done()]
        for file, group in self._by_file(calls).items():
            self._work.append(self._pool.submit(self._try_add, file, group))

    def _by_file(self, calls: Iterable[int]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        files, status = self.ledger.files, self.ledger.status
        for call in calls:
            file = files[call]
            if file is not None and status[call] == DONE:
                groups.setdefault(file, []).append(call)
        return groups

    def _try_add(self, file: str, calls: list[int]) -> None:
        """Add while the run goes on; what fails now is tried again, and reported, at the end."""
        if self._trouble is None:
            try:
                self._add(file, calls)
            except Exception as error:
                logger.debug("Assembling %s has to start anew: %s", file, error)
                self._trouble = error

    def _add(self, file: str, calls: list[int]) -> None:
        path = layout.local(self.output_dir, file)
        part = ContainerPart(path) if path == self.container else PartFile(path)
        try:
            self._added.note(calls, file)
            for call in calls:
                if call not in part:
                    raise DamagedFileError(f"{part.path} lacks the result of call {call}.")
            if self._assembler is None:
                n_large = sum(field.nbytes >= LARGE for field, _ in part.datasets(calls[0]))
                self._assembler = self._assembler_for(n_large)
            checksums = self.ledger.checksums
            self._assembler.take(part, calls, [checksums[call] for call in calls])
            self._lines.add(calls, [part.record(call) for call in calls])
        finally:
            part.close()

    def _assembler_for(self, n_large: int) -> Assembler:
        return Assembler(self.container, self.stamp.run_id, self.ledger.n_calls, n_large)

    def finish(self, table: CallTable) -> None:
        """Complete the container and remove the parts."""
        for future in self._work:
            future.result()
        self._work = []
        self._complete(table)
        files.remove_folder(self.output_dir / layout.parts_folder(self.name))

    def _complete(self, table: CallTable) -> None:
        """Add what is missing and write the container."""
        wanted = self._by_file(range(self.ledger.n_calls))
        if self._trouble is not None or not self._added.are(wanted):
            self._start_anew()
            for file, calls in wanted.items():
                self._add(file, calls)
        if self._assembler is None:
            self._assembler = self._assembler_for(0)
        full = self.ledger.completed(table)
        self._assembler.finish(self._about(full), self._lines)
        self._assembler = None

    def _start_anew(self) -> None:
        if self._assembler is not None:
            self._assembler.abort()
        self._assembler, self._trouble = None, None
        self._added = _Added(self.ledger.n_calls)
        self._lines.clear()

    def payload_files(self) -> list[str | None]:
        """Return the container: it holds everything."""
        return [layout.container_name(self.name)]

    def close(self) -> None:
        """Stop copying and remove an unfinished container."""
        self._pool.shutdown(cancel_futures=True)
        if self._assembler is not None:
            self._assembler.abort()
            self._assembler = None
        self._lines.close()


class _Added:
    """Which calls were added, and from which files."""

    def __init__(self, n_calls: int) -> None:
        self._file_of = np.zeros(n_calls, "<u4")  # files count from 1
        self._numbers: dict[str, int] = {}

    def note(self, calls: Sequence[int], file: str) -> None:
        """Take note of calls.

        Raises
        ------
        DamagedFileError
            One of them was there before.
        """
        before = self._file_of[calls]
        if before.any():
            raise DamagedFileError(f"Call {calls[int(before.argmax())]} came twice.")
        self._file_of[calls] = self._numbers.setdefault(file, len(self._numbers) + 1)

    def are(self, wanted: Mapping[str, Sequence[int]]) -> bool:
        """Whether the calls of these files were added, and no others."""
        expected = np.zeros_like(self._file_of)
        for file, calls in wanted.items():
            expected[calls] = self._numbers.get(file, _UNKNOWN)
        return bool((expected == self._file_of).all())


_UNKNOWN = 2**32 - 1
