"""What is in an output directory already, and whether anything can be written there.

Asked before anything is started, so nothing here needs h5py or NumPy.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acme_io import layout
from acme_io.errors import OutputDirError, ResultsExistError
from acme_io.runs.run_lock import refuse_locked

__all__ = ["check_output_dir", "existing_results", "refuse_existing"]


def check_output_dir(path: str | os.PathLike[str], name: str, *, resume: bool = False) -> None:
    """Check that results can be written to a folder; nothing is made or changed.

    Parameters
    ----------
    path : path_like
        The output directory; it need not exist.
    name : str
        The cleaned function name.
    resume : bool
        Results of this function are expected there.

    Raises
    ------
    OutputDirError
        It is a file, its parent is one, or nothing can be written there.
    ResultsExistError
        It holds results of this function.
    RunLockError
        Another run is writing results of this function there.
    """
    folder = Path(path).absolute()
    parent = _nearest_existing(folder)
    if not parent.is_dir():
        what = "is a file" if parent == folder else f"cannot be made: {parent} is a file"
        raise OutputDirError(f"The output directory {folder} {what}. Pass a folder as output_dir.")
    if not os.access(parent, os.W_OK | os.X_OK) or not _takes_entries(parent):
        raise OutputDirError(
            f"The output directory {folder} cannot be written: no permission to write to {parent}, "
            "or its file system is read-only. Pass another output_dir."
        )
    if parent == folder:
        refuse_locked(folder, name)
        if not resume:
            refuse_existing(folder, name)


def _nearest_existing(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            if os.path.lexists(candidate):
                return candidate
    return folder


def _takes_entries(folder: Path) -> bool:
    """Whether something can be made in a folder; what permission bits say may not hold.

    An unnamed file leaves no trace. Where a file system has none (NFS for instance), a folder is
    made and removed again.
    """
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is not None:
        try:
            os.close(os.open(folder, unnamed | os.O_WRONLY, 0o600))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return False
        else:
            return True
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".acme-", dir=folder))
    except OSError:
        return False
    return True


def refuse_existing(folder: Path, name: str) -> None:
    """Raise `ResultsExistError` if a folder holds results of a function."""
    found = next(existing_results(folder, name), None)
    if found is not None:
        raise ResultsExistError(
            f"{folder} already holds results of {name!r} ({found.name}); they are never "
            "overwritten. Use resume=True to go on with that run, or another output_dir."
        )


def existing_results(folder: Path, name: str) -> Iterator[Path]:
    """Results of a function in a folder, finished or not."""
    for file_name in (layout.container_name(name), layout.record_name(name)):
        if os.path.lexists(folder / file_name):
            yield folder / file_name
    places = ("", layout.payload_folder(name), layout.parts_folder(name))
    for place in places:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(folder / place):
                parsed = layout.parse_payload_name(entry.name)
                if (
                    parsed is not None
                    and parsed.name == name
                    and (place or parsed.kind == "pickle")
                ):
                    yield Path(entry.path)
