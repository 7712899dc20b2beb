"""Which files belong to Python and installed libraries, not to the user."""

from __future__ import annotations

import os
import sysconfig

__all__ = ["is_library"]

_PATHS = sysconfig.get_paths()
_FOLDERS = tuple(
    {
        folder + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        for folder in (_PATHS[key], os.path.realpath(_PATHS[key]))
    }
)
# Of other environments on the search path: the system's below a virtual one, a user's own.
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def is_library(filename: str) -> bool:
    """Tell whether a file was installed.

    Parameters
    ----------
    filename : str
        Name of a source file.

    Returns
    -------
    bool
        True for the standard library and for all that lies in a folder of installed packages.
        Links are followed.
    """
    # Resolving a path asks the file system about each of its parts; most need it not.
    return _among_libraries(filename) or _among_libraries(os.path.realpath(filename))


def _among_libraries(path: str) -> bool:
    return path.startswith(_FOLDERS) or any(part in path for part in _INSTALLED)
