"""Check an output directory: existing results, and permission to write.

The checks run before workers start; importing h5py or NumPy here would delay that.
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
    """Check that results can be written to a folder, without leaving a trace in it.

    Parameters
    ----------
    path : path_like
        The output directory, which need not exist.
    name : str
        The cleaned function name.
    resume : bool
        Allow existing results of this function.

    Raises
    ------
    OutputDirError
        The path or one of its parents is a file, or the folder is not writable.
    ResultsExistError
        The folder holds results of this function.
    RunLockError
        Another run is writing results of this function there.
    """
    # Missing folders are made by the run itself, so permission is that of the nearest existing one.
    folder = Path(path).absolute()
    parent = _nearest_existing(folder)
    if not parent.is_dir():
        what = "is a file" if parent == folder else f"cannot be created: {parent} is a file"
        raise OutputDirError(f"The output directory {folder} {what}. Pass a folder as output_dir.")
    if not os.access(parent, os.W_OK | os.X_OK) or not _takes_entries(parent):
        raise OutputDirError(
            f"The output directory {folder} cannot be written: no permission to write to {parent}, "
            "or its file system is read-only. Pass another output_dir."
        )
    # A folder that does not exist yet has neither a lock nor results.
    if parent == folder:
        refuse_locked(folder, name)
        if not resume:
            refuse_existing(folder, name)


def _nearest_existing(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        # lexists: a dangling link occupies the name too. Errors are those of a path that is too
        # long, or that leads through a folder without search permission.
        with contextlib.suppress(OSError):
            if os.path.lexists(candidate):
                return candidate
    return folder


def _takes_entries(folder: Path) -> bool:
    """Whether a file can be created in a folder; permission bits alone are not reliable."""
    # access(2) may be wrong where a file server maps user ids. O_TMPFILE (Linux) creates a file
    # without a name: no other process sees it, and a kill leaves nothing behind.
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is not None:
        try:
            os.close(os.open(folder, unnamed | os.O_WRONLY, 0o600))
        except OSError as error:
            # These mean "no O_TMPFILE here", see open(2): a file system without it (NFS) or an old
            # kernel. Any other error is about the folder.
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return False
        else:
            return True
    # The fallback exists for a moment under a hidden name that `mkdtemp` makes unique.
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
            f"{folder} already holds results of {name!r} ({found.name}), which are never "
            "overwritten. Pass resume=True to continue that run, or another output_dir."
        )


def existing_results(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files with results of a function in a folder, finished or not."""
    for file_name in (layout.container_name(name), layout.record_name(name)):
        if os.path.lexists(folder / file_name):
            yield folder / file_name
    places = ("", layout.payload_folder(name), layout.parts_folder(name))
    for place in places:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(folder / place):
                parsed = layout.parse_payload_name(entry.name)
                # In the output directory itself only pickles are payloads: `f_3.h5` there is the
                # container of a function named `f_3`.
                if (
                    parsed is not None
                    and parsed.name == name
                    and (place or parsed.kind == "pickle")
                ):
                    yield Path(entry.path)
