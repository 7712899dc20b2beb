"""Copy a run's results into one self-contained file with real datasets."""

import os
import shutil
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import layout
from .alike import AlikeWriter
from .assembly import Assembler
from .checksum import LARGE, data_checksum
from .container import Description
from .errors import AcmeIOError, MissingCallError, ResultsExistError
from .finishing_stacked import StackSingleFinisher
from .ledger import Ledger
from .lines import RecordLines
from .payload import RunStamp
from .reader import open_results
from .record import DONE, MISSING, PICKLED, CallTable, dumps
from .seal import read_seal
from .single_source import SingleSource
from .sources import PickleSource, Source, StoredCall
from .stacked_source import StackedSource

__all__ = ["Merged", "merge"]


class Merged(NamedTuple):
    """What `merge` wrote.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    pickles : list of pathlib.Path
        Copies of pickles, beside it: HDF5 cannot hold them.
    skipped : dict of int to str
        Calls that are marked missing in the copy, with the reason.
    """

    path: Path
    pickles: list[Path]
    skipped: dict[int, str]


def merge(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> Merged:
    """Copy the results of a run into one self-contained file with real datasets.

    Where all calls returned alike, the file has one dataset per return value with one row per call
    (stacked results as they are stacked); else a group per call.

    Parameters
    ----------
    path : path_like
        A container, an output directory or a payload folder.
    target : path_like
        The file to write; it must not exist.

    Raises
    ------
    ResultsExistError
        The target exists.
    UnknownFileError
        There are no results, or they are pickles.
    """
    goal = Path(target).absolute()
    if goal.suffix != ".h5":
        goal = goal.with_name(f"{goal.name}.h5")
    if os.path.lexists(goal):
        raise ResultsExistError(f"{goal} exists and is not overwritten. Choose another name.")
    with open_results(path) as results:
        source = results._source
        source.check = "all"  # a copy is no place for damage that nobody noticed
        if isinstance(source, SingleSource):  # open already
            read_seal(source.path, check="all")
        table = source.table.copy()
        table.status[:] = source.present()
        skipped: dict[int, str] = {
            int(call): "its file is gone"
            for call in np.flatnonzero(table.status != source.table.status)
        }
        if isinstance(source, PickleSource):
            raise MissingCallError("Results that are pickles cannot be merged into an HDF5 file.")
        if isinstance(source, StackedSource):
            _merge_stacked(source, goal, table)
        elif not _merge_alike(source, goal, table, skipped):
            _merge_calls(source, goal, table, skipped)
        pickles = _copy_pickles(source, goal, table)
    return Merged(goal, pickles, skipped)


def _stamp(source: Source) -> RunStamp:
    """Take the run's identity as the files carry it, storage included."""
    return RunStamp(source.run_id, source.run_json)


def _done(
    source: Source, table: CallTable, skipped: dict[int, str]
) -> Iterator[tuple[int, StoredCall]]:
    """Read the results one after the other; those that cannot be read are noted."""
    for call in np.flatnonzero(table.status == DONE):
        number = int(call)
        try:
            found = source.load(number)
        except (AcmeIOError, OSError) as error:
            table.status[number] = MISSING
            skipped[number] = str(error)
            continue
        table.checksum[number] = data_checksum(found.arrays)
        yield number, found


def _merge_alike(source: Source, goal: Path, table: CallTable, skipped: dict[int, str]) -> bool:
    """Write one row per call; False, and nothing written, if the results are not alike."""
    writer: AlikeWriter | None = None
    records: dict[int, str] = {}
    try:
        for call, found in _done(source, table, skipped):
            if writer is None:
                if not AlikeWriter.possible(found):
                    return False
                writer = AlikeWriter(goal, source.run_id, len(table), found)
            if not writer.add(call, found):
                writer.abort()
                return False
            records[call] = dumps(found.record)
        if writer is None:
            return False
        writer.finish(Description(_stamp(source), "alike", table), records)
    except BaseException:
        if writer is not None:
            writer.abort()
        raise
    return True


def _merge_calls(source: Source, goal: Path, table: CallTable, skipped: dict[int, str]) -> None:
    """Write a group per call."""
    assembler: Assembler | None = None
    lines = RecordLines(len(table), goal.parent)
    run_id, n_calls = source.run_id, len(table)
    try:
        for call, found in _done(source, table, skipped):
            if assembler is None:
                n_large = sum(field.nbytes >= LARGE for field in found.fields)
                assembler = Assembler(goal, run_id, n_calls, n_large)
            datasets = zip(found.fields, found.arrays, strict=True)
            assembler.add(call, datasets, int(table.checksum[call]))
            lines.add([call], [dumps(found.record)])
        if assembler is None:
            assembler = Assembler(goal, run_id, n_calls, 0)
        assembler.finish(Description(_stamp(source), "single", table), lines)
    except BaseException:
        if assembler is not None:
            assembler.abort()
        raise
    finally:
        lines.close()


def _merge_stacked(source: StackedSource, goal: Path, table: CallTable) -> None:
    ledger = Ledger(len(table))
    ledger.status[:] = bytes(int(code) for code in table.status)
    ledger.checksums = array("Q", table.checksum.tolist())
    if source.container.lengths is not None:
        ledger.lengths = array("q", source.container.lengths.tolist())
    for file, calls in source.sources:
        for call in calls:
            ledger.files[call] = file if ledger.status[call] == DONE else None
    _find_extras(source, ledger)
    finisher = StackSingleFinisher(
        source.path.parent, source.name, _stamp(source), ledger, source.slots
    )
    finisher.write(goal, table)


def _find_extras(source: StackedSource, ledger: Ledger) -> None:
    """See in the source files which calls have further values."""
    for file in dict.fromkeys(file for file, _ in source.sources):
        opened = source.opened(file)
        for call, held in enumerate(ledger.files):
            if held == file and layout.call_group(call) in opened:
                ledger.extras[call] = 1


def _copy_pickles(source: Source, goal: Path, table: CallTable) -> list[Path]:
    copies = []
    for call in np.flatnonzero(table.status == PICKLED):
        copy = goal.with_name(layout.pickle_name(goal.stem, int(call)))
        shutil.copyfile(source.file(int(call)), copy)
        copies.append(copy)
    return copies
