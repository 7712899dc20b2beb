"""Check whether results can be written to a folder; each finding comes with advice.

`acme.cli.Finding`, a Protocol, states the same four fields as `Finding` here, and the findings of
acme-cluster have them too: the two packages do not import each other.

>>> from acme_io.tools.folder_check import examine
>>> for finding in examine("."):
...     print(finding.level, finding.topic, finding.text)                 # doctest: +SKIP
ok versions acme-io 0.1.0, NumPy 2.4.6, h5py 3.16.0 with HDF5 1.14.6
ok results Results can be written in /home/me/project, with 512 GB left.
ok locking HDF5 can lock files there.
"""

# h5py is imported in the functions: `examine` is reachable from `acme_io.backend`, whose import
# must stay cheap.

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Finding", "examine"]

# Free space in bytes (1 GiB) below which a folder gets a note. Sizes of results are not known here.
_LITTLE_SPACE = 1 << 30


class Finding(NamedTuple):
    """The result of one check. Its fields are those of the Protocol `acme.cli.Finding`.

    Attributes
    ----------
    level : {"ok", "note", "problem"}
        Severity.
    topic : str
        Subject of the check.
    text : str
        Result of the check.
    advice : str
        What to do about it; empty if there is nothing to do.
    """

    level: str
    topic: str
    text: str
    advice: str = ""


def examine(folder: str | os.PathLike[str]) -> list[Finding]:
    """Check whether results can be written to a folder; trial files are removed.

    Parameters
    ----------
    folder : path_like
        The folder for results.

    Returns
    -------
    list of Finding
        In the order of the checks.
    """
    return [*_versions(), *_folder(Path(folder).absolute())]


def _versions() -> Iterator[Finding]:
    import h5py
    import numpy as np

    from acme_io.__about__ import __version__

    yield Finding(
        "ok",
        "versions",
        f"acme-io {__version__}, NumPy {np.__version__}, "
        f"h5py {h5py.__version__} with HDF5 {h5py.version.hdf5_version}",
    )


def _folder(folder: Path) -> Iterator[Finding]:
    # A trial instead of permission bits, which say nothing about quotas or a file server.
    try:
        with tempfile.TemporaryDirectory(prefix=".acme-doctor-", dir=folder) as scratch:
            free = shutil.disk_usage(scratch).free
            locking = _locking(Path(scratch) / "trial.h5")
    except OSError as error:
        yield Finding(
            "problem", "results", f"Results cannot be written in {folder} ({error}).",
            "Start in another folder, or give an output_dir where you may write.",
        )  # fmt: skip
        return
    size = f"{free / 1e9:.3g} GB left"
    if free < _LITTLE_SPACE:
        yield Finding(
            "note", "results", f"There is little free space in {folder}: {size}.",
            "Give an output_dir with more space.",
        )  # fmt: skip
    else:
        yield Finding("ok", "results", f"Results can be written in {folder}, with {size}.")
    yield locking


def _locking(path: Path) -> Finding:
    """Try to open a file with a lock of HDF5, as other programs do by default."""
    import h5py

    # `locking=False` lets the file be written even where locks do not work. The second open takes
    # the lock: HDF5 calls flock, which some network file systems answer with ENOSYS or ENOLCK.
    with h5py.File(path, "w", locking=False):
        pass
    try:
        with h5py.File(path, "r", locking=True):
            return Finding("ok", "locking", "HDF5 can lock files there.")
    except OSError as error:
        return Finding(
            "note", "locking", f"HDF5 cannot lock files there ({error}).",
            "ACME writes and reads results without locks. For other programs that cannot open "
            "them, set the environment variable HDF5_USE_FILE_LOCKING=FALSE.",
        )  # fmt: skip
