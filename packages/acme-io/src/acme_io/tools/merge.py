"""Copy a run's results into one self-contained file with real datasets."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, MissingCallError, ResultsExistError
from acme_io.files.checksum import LARGE, data_checksum
from acme_io.hdf5.container import Description
from acme_io.hdf5.members import names_of
from acme_io.hdf5.record_lines import RecordLines
from acme_io.records.call_record import DONE, MISSING, PICKLED
from acme_io.records.call_table import CallTable
from acme_io.records.run_record import RunStamp
from acme_io.records.serialization import dumps
from acme_io.results.results import open_results
from acme_io.storage.single_file.assembler import Assembler
from acme_io.storage.source import Source, StoredCall
from acme_io.storage.uniform.writer import UniformWriter

__all__ = ["Merged", "merge"]


class Merged(NamedTuple):
    """The outcome of `merge`.

    Attributes
    ----------
    path : pathlib.Path
        The merged file.
    pickles : list of pathlib.Path
        Copies of pickled results, in the same folder: HDF5 cannot hold them.
    skipped : dict of int to str
        Calls marked as missing in the copy, with the reason.
    """

    path: Path
    pickles: list[Path]
    skipped: dict[int, str]


def merge(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Merged:
    """Copy the results of a run into one self-contained file with real datasets.

    If all results have the same shapes and dtypes, the file has one dataset per return value with
    one row per call; stacked results keep their shape. Otherwise it has one group per call.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.
    target : path_like
        The file to write, which must not exist; `.h5` is appended if it is missing.

    Returns
    -------
    Merged
        The file, copies of pickles, and the calls left out.

    Raises
    ------
    FileNotFoundError, UnknownFileError, DamagedFileError
        As for `acme_io.open_results`.
    ResultsExistError
        The target exists.
    MissingCallError
        The run asked for pickles, so that no result is in an HDF5 file.
    """
    goal = Path(target).absolute()
    if goal.suffix != ".h5":
        goal = goal.with_name(f"{goal.name}.h5")
    if os.path.lexists(goal):
        raise ResultsExistError(
            f"{goal} already exists and is not overwritten. Choose another name."
        )
    with open_results(path) as results:
        source = results._source
        # Before anything is read: new checksums would make damaged data look whole.
        source.prepare_copy()
        table = source.table.copy()
        # The copy's status is that of the files now; a call whose file is lost becomes missing.
        table.status[:] = source.present()
        skipped: dict[int, str] = {
            int(call): "its file no longer exists"
            for call in np.flatnonzero(table.status != source.table.status)
        }
        if source.only_pickles:
            raise MissingCallError(
                f"The results in {source.path.parent} are pickles, which cannot be merged into an "
                "HDF5 file. Read them with open_results(..., allow_pickle=True)."
            )
        # From the most compact form to the most general one. The first two return False, with
        # nothing written, if the results do not have that form.
        if not source.merge(goal, table) and not _merge_uniform(source, goal, table, skipped):
            _merge_calls(source, goal, table, skipped)
        pickles = _copy_pickles(source, goal, table)
    return Merged(goal, pickles, skipped)


def _stamp(source: Source) -> RunStamp:
    """Return the run's identity as it is on file, with the way of storing."""
    # The text of the original: `rebuild` tells a copy from a run's own file by that way of storing.
    return RunStamp(source.run_id, source.run_json)


def _done(
    source: Source, table: CallTable, skipped: dict[int, str]
) -> Iterator[tuple[int, StoredCall]]:
    """Yield the results one by one; mark unreadable ones as missing and note the reason."""
    for call in np.flatnonzero(table.status == DONE):
        number = int(call)
        try:
            found = source.load(number)
        except (AcmeIOError, OSError) as error:
            table.status[number] = MISSING
            skipped[number] = str(error)
            continue
        # Of the data alone, since the copy has no file per call whose checksum would serve.
        table.checksum[number] = data_checksum(found.arrays, names_of(found.fields))
        yield number, found


def _merge_uniform(source: Source, goal: Path, table: CallTable, skipped: dict[int, str]) -> bool:
    """Write one row per call; return False, with nothing written, if results differ in form."""
    writer: UniformWriter | None = None
    records: dict[int, str] = {}
    try:
        for call, found in _done(source, table, skipped):
            if writer is None:
                if not UniformWriter.possible(found):
                    return False
                writer = UniformWriter(goal, source.run_id, len(table), found)
            if not writer.add(call, found):
                writer.abort()
                return False
            records[call] = dumps(found.record)
        if writer is None:  # no call has a result
            return False
        writer.finish(Description(_stamp(source), "alike", table), records)
    except BaseException:
        if writer is not None:
            writer.abort()
        raise
    return True


def _merge_calls(source: Source, goal: Path, table: CallTable, skipped: dict[int, str]) -> None:
    """Write one group per call."""
    assembler: Assembler | None = None
    lines = RecordLines(len(table), goal.parent)
    run_id, n_calls = source.run_id, len(table)
    try:
        for call, found in _done(source, table, skipped):
            # The header must reserve room for the ranges of large datasets before any is written;
            # the first call stands for all. Ranges without room are checked with the whole file.
            if assembler is None:
                n_large = sum(field.nbytes >= LARGE for field in found.fields)
                assembler = Assembler(goal, run_id, n_calls, n_large)
            datasets = zip(found.fields, found.arrays, strict=True)
            assembler.add(call, datasets, int(table.checksum[call]))
            lines.add([call], [dumps(found.record)])
        # Without any result the file still has the failures and the record of the run.
        if assembler is None:
            assembler = Assembler(goal, run_id, n_calls, 0)
        assembler.finish(Description(_stamp(source), "single", table), lines)
    except BaseException:
        if assembler is not None:
            assembler.abort()
        raise
    finally:
        lines.close()


def _copy_pickles(source: Source, goal: Path, table: CallTable) -> list[Path]:
    # Copied as bytes: unpickling would run code from the file. Readers look for them by the name
    # of the merged file.
    copies = []
    for call in np.flatnonzero(table.status == PICKLED):
        copy = goal.with_name(layout.pickle_name(goal.stem, int(call)))
        shutil.copyfile(source.file(int(call)), copy)
        copies.append(copy)
    return copies
