"""The client's side of one run on disk: lock the folder, accept receipts, write the container.

::

    RunStore.create    creates and locks the folders, makes the sink that travels to the workers
    RunStore.accept    takes one receipt per finished batch
    RunStore.finish    writes the container
    RunStore.close     releases the lock; may discard everything the run wrote

Creating a store imports no h5py. `get_ready` does, 65 ms and more, while the workers start.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, OutputDirError
from acme_io.files import atomic
from acme_io.records.call_record import DONE, MISSING, PICKLED
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunFiles, RunInfo, RunStamp
from acme_io.records.serialization import run_to_json
from acme_io.runs.output_dir import check_output_dir, existing_results, refuse_existing
from acme_io.runs.run_lock import RunLock
from acme_io.storage.call_index import CallIndex
from acme_io.storage.options import StorageOptions
from acme_io.storage.registry import way_for
from acme_io.storage.sink import BatchReceipt, Sink

if TYPE_CHECKING:
    from acme_io.runs.call import Call
    from acme_io.runs.live_reader import LiveReader
    from acme_io.runs.recovery import RecoveredResults
    from acme_io.storage.finisher import Finisher

__all__ = ["RunStore"]


def remove_temporary_files(output_dir: Path, name: str) -> None:
    """Remove temporary files of killed writers. The caller must hold the run lock."""
    for place in ("", layout.payload_folder(name), layout.parts_folder(name)):
        with contextlib.suppress(OSError):
            for entry in os.scandir(output_dir / place):
                if layout.is_temporary(entry.name, name, place):
                    atomic.remove(entry.path)


class RunStore:
    """The files of one run, seen from the client. Made by `create` or `resume`.

    Attributes
    ----------
    sink : Sink
        Writes the results on the workers, where it travels by pickle.
    output_dir : pathlib.Path
        Absolute path of the output directory.
    container : pathlib.Path or None
        The container; None when results are pickled.
    created_output_dir : bool
        Whether this run created the folder.
    """

    sink: Sink
    output_dir: Path
    container: Path | None
    created_output_dir: bool

    def __init__(self, output_dir: Path, name: str, options: StorageOptions, run: RunInfo) -> None:
        self.output_dir, self.name, self.options, self.run = output_dir, name, options, run
        stamp = RunStamp(run.run_id, run_to_json(run, options.describe()))
        self._files = RunFiles(output_dir, name, stamp)
        self._way = way_for(options)
        self.container = self._way.container(self._files)
        self.created_output_dir = False
        self._index = CallIndex(CallTable(run.n_calls))
        self._finisher: Finisher | None = None
        self._recovered: RecoveredResults | None = None
        self._reader: LiveReader | None = None
        self._complete = False
        self._made: list[Path] = []
        self._claim: RunLock | None = None

    @classmethod
    def create(
        cls, output_dir: Path, name: str, options: StorageOptions, run: RunInfo
    ) -> "RunStore":
        """Create the folders and lock them.

        Parameters
        ----------
        output_dir : pathlib.Path
            The output directory; missing folders are created.
        name : str
            The cleaned function name.
        options : StorageOptions
            How results are stored.
        run : RunInfo
            The run's identity.

        Raises
        ------
        OutputDirError
            The folder cannot be created or written.
        ResultsExistError
            The folder holds results of this function.
        RunLockError
            Another run is writing results of this function there.
        """
        store = cls(Path(output_dir).absolute(), name, options, run)
        check_output_dir(store.output_dir, name)
        try:
            store._make_folders()
        except BaseException:
            store.close(discard=True)
            raise
        return store

    @classmethod
    def resume(
        cls,
        output_dir: Path,
        name: str,
        options: StorageOptions,
        run: RunInfo,
        keep: Iterable[int],
    ) -> "RunStore":
        """Continue an earlier run: lock its folder and keep finished calls.

        Parameters
        ----------
        output_dir, name, options, run
            As for `create`; the run has the id of the earlier one, as returned by
            `acme_io.runs.finished.finished_calls`.
        keep : iterable of int
            Calls whose results are kept. All others have to run again.

        Raises
        ------
        OutputDirError, RunLockError
            As for `create`.
        UnknownFileError
            The folder has no usable results to continue with.
        ValueError
            The results belong to another run, or are stored in another way.
        """
        # These modules import h5py, which a new run does not need yet.
        from acme_io.runs.finished import scan_to_resume
        from acme_io.runs.recovery import RecoveredResults
        from acme_io.runs.scan import keep_only

        store = cls(Path(output_dir).absolute(), name, options, run)
        check_output_dir(store.output_dir, name, resume=True)
        try:
            store._make_folders(resume=True)
            remove_temporary_files(store.output_dir, name)
            found = scan_to_resume(store.output_dir, name)
            if found.run.run_id != run.run_id or found.options != options:
                raise ValueError(
                    f"{store.output_dir} holds results of run {found.run.run_id}, stored as "
                    f"{found.options}: run {run.run_id} with {options} cannot continue them."
                )
            keep_only(found, keep)
            # Files of dropped calls stay until they are replaced; `adopt` must not take them back.
            store._recovered = RecoveredResults(store.output_dir, name)
            store._index = found.index
            # Nothing to compute and nothing to write: the container stays as it is.
            store._complete = found.complete
            if not found.complete:
                store._recovered.leave_out_earlier()
                kept = [call for call, file in enumerate(found.index.files) if file is not None]
                store._finish_with().taken(kept)
        except BaseException:
            store.close()  # without discarding: the results are the earlier run's
            raise
        return store

    @property
    def table(self) -> CallTable:
        """One row per call, filled by receipts and by the program that runs the calls.

        In a resumed run it starts with the rows of the calls that are kept.
        """
        return self._index.table

    def _make_folders(self, *, resume: bool = False) -> None:
        try:
            self._make(self.output_dir)
            self.created_output_dir = self.output_dir in self._made
            self._claim = RunLock(self.output_dir, self.name)
            # Again, now under the lock: another run may have finished since the first check.
            if not resume:
                refuse_existing(self.output_dir, self.name)
            self._make(self._payload_folder)
        except (PermissionError, NotADirectoryError) as error:
            raise OutputDirError(f"{self.output_dir} cannot be used: {error}") from error
        self.sink = self._way.sink(self._files, self.options)

    @property
    def _payload_folder(self) -> Path:
        return self.output_dir / (self._way.payload_folder(self.name) or "")

    def _make(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        # One by one instead of `parents=True`, to know which folders are this run's to remove.
        # Another run may create the same folder now: then it is that run's.
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                self._made.append(folder)

    def get_ready(self) -> None:
        """Import the modules that `accept` and `finish` need, ahead of their first call."""
        self._finish_with()

    def accept(self, receipt: BatchReceipt) -> None:
        """Accept the receipt of a batch; a later one for the same call replaces the earlier one."""
        changed = self._index.accept(receipt)
        if self._complete:  # a call of a complete run was repeated: the container changes after all
            self._complete = False
            changed = list(range(self.run.n_calls))
        self._finish_with().taken(changed)

    def adopt(self) -> list[int]:
        """Add results that workers wrote but whose receipts were lost when the run ended early.

        Returns
        -------
        list of int
            The calls that were added.
        """
        from acme_io.runs.recovery import RecoveredResults

        known = {file for file in self._index.files if file is not None}
        recovered = self._recovered or RecoveredResults(self.output_dir, self.name)
        found = recovered.find(self.run.run_id, known)
        if found is None:
            return []
        status = found.index.table.status
        # Two kinds of news: a result of a call that has none so far, whatever its status, and the
        # failure of an unfinished call, on record in the file of its batch.
        stored = np.isin(status, (DONE, PICKLED)) & [file is None for file in self._index.files]
        learned = (status != MISSING) & (self.table.status == MISSING)
        calls: list[int] = np.flatnonzero(stored | learned).tolist()
        self._index.adopt(found.index, calls)
        self._finish_with().taken(calls)
        return calls

    def _finish_with(self) -> "Finisher":
        if self._finisher is None:
            self._finisher = self._way.finisher(self._files, self.options, self._index)
        return self._finisher

    def call(self, number: int) -> "Call":
        """Return a call that has ended, which reads from the payload that it was written to.

        It stays readable when the run is over, also if the container has taken its result over.

        Parameters
        ----------
        number : int
            A call with an accepted receipt, or a recorded failure.
        """
        from acme_io.runs.call import Call
        from acme_io.runs.live_reader import LiveReader

        if self._reader is None:
            self._reader = LiveReader(self._way, self._files, self.options, self._index)
        return Call(self._reader, number)

    def finish(self) -> None:
        """Write the container, with all results accepted so far.

        Raises
        ------
        OSError
            The container cannot be written; the payloads are kept.
        """
        if self._complete:
            self._remove_made()
            return
        try:
            self._finish_with().finish()
            if self._reader is not None:
                self._reader.use_container()
        except AcmeIOError:
            raise
        except OSError as error:
            # The same errno, so that callers can still tell a full disk (ENOSPC) from other causes.
            raise OSError(error.errno, self._unfinished(error)) from error

    def _unfinished(self, error: OSError) -> str:
        """Name the file that could not be written, and the place of the results."""
        reason = error.strerror or str(error)
        if self.container is None:
            return f"{reason}: the record of {self.name} in {self.output_dir} was not written."
        return (
            f"{reason}: {self.container} was not written. The results are kept in "
            f"{self._payload_folder}. Fix the disk problem, then resume the run or use "
            f"`acme-io rebuild {self.output_dir}`."
        )

    def payload_files(self) -> list[str | None]:
        """List the payloads as absolute paths, in the order of calls.

        Returns
        -------
        list of (str or None)
            One path per call, None for calls without a result. With stacked results, the files of
            batches; with a single file, the container.
        """
        # Text instead of `layout.local`, which makes a `Path` of each: 10 µs a call.
        base = f"{self.output_dir}{os.sep}"
        return [
            None if file is None else base + file.replace("/", os.sep)
            for file in self._finish_with().payload_files()
        ]

    def close(self, *, discard: bool = False) -> None:
        """Release the run lock.

        Parameters
        ----------
        discard : bool
            Remove everything that this run wrote, and the folders that it created unless they hold
            other files.
        """
        if self._finisher is not None:
            self._finisher.close()
        # Only under the lock: else these may be files that another run is writing.
        if self._claim is not None:
            remove_temporary_files(self.output_dir, self.name)
        if discard:
            self._discard()
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        # After the release: the claim lies in the output directory, which has to be empty.
        if discard:
            self._remove_made()

    def _remove_made(self) -> None:
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):  # not empty: other files are in it
                folder.rmdir()

    def _discard(self) -> None:
        # Without the lock this run wrote nothing: the results are another run's.
        if self._claim is None:
            return
        for found in list(existing_results(self.output_dir, self.name)):
            atomic.remove(found)
