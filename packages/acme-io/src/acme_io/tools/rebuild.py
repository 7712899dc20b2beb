"""Rebuild a container from its payloads, after a crash or when the container was lost."""

import os
from pathlib import Path
from typing import NamedTuple

from acme_io import layout
from acme_io.errors import UnknownFileError
from acme_io.hdf5.checked_file import CheckedFile
from acme_io.hdf5.objects import has_attribute, read_text
from acme_io.records.call_record import STATUS_NAMES
from acme_io.records.run_record import RunFiles, RunStamp
from acme_io.records.serialization import run_to_json
from acme_io.runs.run_lock import RunLock
from acme_io.runs.scan import holds_its_run, names_in, scan
from acme_io.runs.store import remove_temporary_files
from acme_io.storage.registry import way_for

__all__ = ["Rebuilt", "rebuild"]


class Rebuilt(NamedTuple):
    """The outcome of `rebuild`.

    Attributes
    ----------
    container : pathlib.Path or None
        The container; None for a run that writes pickles, which has a record instead.
    counts : dict of str to int
        Number of calls that are `done`, `failed`, `missing` and `pickled`.
    damaged : dict of str to str
        Unusable files, as paths relative to the output directory, with the reason.
    """

    container: Path | None
    counts: dict[str, int]
    damaged: dict[str, str]


def rebuild(folder: str | os.PathLike[str], name: str | None = None) -> Rebuilt:
    """Rebuild the container of a run from its payloads or parts.

    An existing container is replaced. Failures that only the client knew are lost: their calls
    count as missing.

    Parameters
    ----------
    folder : path_like
        The output directory, or the payload folder in it.
    name : str, optional
        The cleaned function name; needed if the folder holds results of several functions.

    Returns
    -------
    Rebuilt
        The container, and the calls and unusable files by number and reason.

    Raises
    ------
    UnknownFileError
        The folder has no payloads, or those of several functions; or a merged file has the
        container's name.
    RunLockError
        A run is writing there.
    """
    output_dir = Path(folder).absolute()
    if (payloads_of := layout.folder_name(output_dir.name)) is not None:
        output_dir, name = output_dir.parent, payloads_of
    names = names_in(output_dir) if name is None else [name]
    if len(names) != 1:
        if not names:
            raise UnknownFileError(
                f"{output_dir} holds no payloads. Pass an output directory or a payload folder."
            )
        raise UnknownFileError(
            f"{output_dir} holds results of several functions: {', '.join(names)}. Choose one with "
            "`acme-io rebuild --name`."
        )
    # A container of links would replace the only copy of merged results.
    _refuse_merged(output_dir / layout.container_name(names[0]))
    claim = RunLock(output_dir, names[0])
    try:
        remove_temporary_files(output_dir, names[0])
        found = scan(output_dir, names[0])
        way = way_for(found.options)
        # From here on as at the end of a run: the finisher gets all that the payloads record.
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
    """Raise for a merged file: it holds the results themselves, and has no payloads."""
    try:
        # Its size is check enough here; comparing all bytes would read the whole file.
        with CheckedFile(path, "size") as checked:
            # Only files that hold results have the records of calls, too.
            if not has_attribute(checked.root, "calls"):
                return
            merged = not holds_its_run(checked, read_text(checked.root, "run"))
    except (OSError, UnknownFileError, KeyError, ValueError, RuntimeError):
        return  # missing or damaged: a reason to rebuild it
    if merged:
        raise UnknownFileError(
            f"{path} is a merged file, which holds the results itself: it has no payloads to be "
            "rebuilt from. `acme-io verify` checks it."
        )
