"""What about a folder helps or hinders writing results there; each finding says what to do.

>>> from acme_io.tools.folder_check import examine
>>> for finding in examine("."):
...     print(finding.level, finding.topic, finding.text)                 # doctest: +SKIP
ok versions acme-io 0.1.0, NumPy 2.4.6, h5py 3.16.0 with HDF5 1.14.6
ok results Results can be written in /home/me/project, with 512 GB left.
ok locking HDF5 can lock files there.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Finding", "examine"]

_LITTLE = 1 << 30


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    level : {"ok", "note", "problem"}
        Whether something has to be done.
    topic : str
        What was looked at.
    text : str
        What was found.
    advice : str
        What to do about it; empty if nothing.
    """

    level: str
    topic: str
    text: str
    advice: str = ""


def examine(folder: str | os.PathLike[str]) -> list[Finding]:
    """Look at whether results can be written in a folder; what is written to try is removed.

    Parameters
    ----------
    folder : path_like
        Where results are to go.

    Returns
    -------
    list of Finding
        In the order of the looks.
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
    if free < _LITTLE:
        yield Finding(
            "note", "results", f"There is little room in {folder}: {size}.",
            "Give an output_dir with more.",
        )  # fmt: skip
    else:
        yield Finding("ok", "results", f"Results can be written in {folder}, with {size}.")
    yield locking


def _locking(path: Path) -> Finding:
    """Try a lock of HDF5's: other programs ask for one when they open a file."""
    import h5py

    with h5py.File(path, "w", locking=False):
        pass
    try:
        with h5py.File(path, "r", locking=True):
            return Finding("ok", "locking", "HDF5 can lock files there.")
    except OSError as error:
        return Finding(
            "note", "locking", f"HDF5 cannot lock files there ({error}).",
            "Results are written and read without locks. For other programs that cannot open "
            "them set the environment variable HDF5_USE_FILE_LOCKING=FALSE.",
        )  # fmt: skip
