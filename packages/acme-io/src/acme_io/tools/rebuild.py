"""Make a container from the payloads that are there: after a crash, or when it was lost."""

import os
from pathlib import Path
from typing import NamedTuple

from h5py import h5a

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import read_text
from acme_io.records.run_record import RunStamp, run_to_json
from acme_io.records.status import STATUS_NAMES
from acme_io.runs.run_lock import RunLock
from acme_io.runs.scan import holds_its_run, names_in, scan
from acme_io.runs.store import remove_temporary_files
from acme_io.storage.registry import way_for
from acme_io.storage.run_files import RunFiles

__all__ = ["Rebuilt", "rebuild"]


class Rebuilt(NamedTuple):
    """What `rebuild` made of a folder.

    Attributes
    ----------
    container : pathlib.Path or None
        The container; None for a run that writes pickles, which has a record instead.
    counts : dict of str to int
        How many calls are `done`, `failed`, `missing`, `pickled`.
    damaged : dict of str to str
        Files that could not be used, with the reason.
    """

    container: Path | None
    counts: dict[str, int]
    damaged: dict[str, str]


def rebuild(folder: str | os.PathLike[str], name: str | None = None) -> Rebuilt:
    """Make the container of a run from its payloads or parts.

    Parameters
    ----------
    folder : path_like
        The output directory, or the payload folder in it.
    name : str, optional
        The cleaned function name, where the folder holds results of several functions.

    Raises
    ------
    UnknownFileError
        There are no payloads, or those of several functions; or what has the container's name is a
        merged file.
    RunLockError
        A run is writing there.
    """
    output_dir = Path(folder).absolute()
    if (payloads_of := layout.folder_name(output_dir.name)) is not None:
        output_dir, name = output_dir.parent, payloads_of
    names = names_in(output_dir) if name is None else [name]
    if len(names) != 1:
        what = f"results of several functions: {', '.join(names)}" if names else "no payloads"
        raise UnknownFileError(f"{output_dir} holds {what}.")
    _refuse_merged(output_dir / layout.container_name(names[0]))
    claim = RunLock(output_dir, names[0])
    try:
        remove_temporary_files(output_dir, names[0])
        found = scan(output_dir, names[0])
        way = way_for(found.options)
        stamp = RunStamp(found.run.run_id, run_to_json(found.run, found.options.describe()))
        files = RunFiles(output_dir, names[0], stamp)
        finisher = way.finisher(files, found.options, found.index)
        try:
            finisher.taken(range(found.run.n_calls))
            finisher.finish()
        finally:
            finisher.close()
    finally:
        claim.release()
    status = found.index.table.status
    counts = {word: int((status == code).sum()) for code, word in enumerate(STATUS_NAMES)}
    return Rebuilt(way.container(files), counts, found.damaged)


def _refuse_merged(path: Path) -> None:
    """Raise for a file that `merge` has made: it has the results themselves, and no payloads."""
    try:
        with CheckedFile(path, "size") as checked:
            if not h5a.exists(checked.root, b"calls"):
                return
            merged = not holds_its_run(checked, read_text(checked.root, "run"))
    except (OSError, UnknownFileError, KeyError, ValueError, RuntimeError):
        return  # it is not there, or it is damaged: a reason to rebuild it
    if merged:
        raise UnknownFileError(
            f"{path} is a merged file, which holds the results itself: there is nothing to rebuild "
            "it from. `acme-io verify` tells whether it is whole."
        )
