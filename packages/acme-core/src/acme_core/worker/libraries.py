"""Tells files of Python and installed libraries from the user's own."""

from __future__ import annotations

import os
import sysconfig

__all__ = ["is_library"]

_PATHS = sysconfig.get_paths()
# Both spellings: in many environments, ``lib64`` is a link to ``lib``.
_FOLDERS = tuple(
    {
        folder + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        for folder in (_PATHS[key], os.path.realpath(_PATHS[key]))
    }
)
# Packages of other environments on the search path: the system's, or the user's (`pip --user`).
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def is_library(filename: str) -> bool:
    """Whether a source file belongs to the standard library or to an installed package.

    Links are followed.
    """
    # Plain names first: resolving a path asks the file system about each of its parts.
    return _among_libraries(filename) or _among_libraries(os.path.realpath(filename))


def _among_libraries(path: str) -> bool:
    return path.startswith(_FOLDERS) or any(part in path for part in _INSTALLED)
