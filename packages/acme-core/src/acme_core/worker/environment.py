"""Makes a worker process look like the place where the user called `compute`.

Working directory, module search path, thread pools, and the modules that were imported from
files which may change between two runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from acme_core.worker.libraries import is_library

_own_path = tuple(sys.path)
_environment_at_start = dict(os.environ)
_imported: dict[str, tuple[str, int]] = {}
_seen: set[str] = set()
_n_modules = 0
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def enter_client_environment(cwd: str, sys_path: Iterable[str]) -> None:
    """Use the client's working directory and module search path."""
    # A worker on a machine that has no such folder works where it is.
    with contextlib.suppress(OSError):
        if os.getcwd() != cwd:
            os.chdir(cwd)
    wanted = list(sys_path)
    sys.path[:] = wanted + [entry for entry in _own_path if entry not in wanted]


def limit_threads(n_cores: int) -> None:
    """Hold BLAS and OpenMP to the cores of this worker, loaded by now or later.

    Parameters
    ----------
    n_cores : int
        Number of threads that each pool may have.
    """
    # Read when numba is imported, which no worker has done before its first call.
    os.environ["NUMBA_NUM_THREADS"] = str(n_cores)
    wanted = dict.fromkeys(_THREAD_VARIABLES, str(n_cores))
    if wanted.items() <= _environment_at_start.items():
        return  # every library has read it, or will when it is loaded
    import threadpoolctl

    os.environ.update(wanted)
    threadpoolctl.threadpool_limits(limits=n_cores)


def worker_cores(n_threads: int) -> int:
    """Cores that one worker may use: what its starter reserved, else one per worker thread."""
    reserved = os.environ.get("ACME_WORKER_CORES", "")
    return int(reserved) if reserved.isdigit() and int(reserved) else max(1, n_threads)


def note_imports() -> None:
    """Remember the state on disk of modules that are not libraries; cheap if none is new."""
    global _n_modules
    if len(sys.modules) == _n_modules:
        return
    for name, module in list(sys.modules.items()):
        if name in _seen:
            continue
        _seen.add(name)
        filename = getattr(module, "__file__", None)
        if filename and not name.split(".")[0].startswith("acme") and not is_library(filename):
            with contextlib.suppress(OSError):
                _imported[name] = (filename, os.stat(filename).st_mtime_ns)
    _n_modules = len(sys.modules)


def changed_modules() -> list[str]:
    """Names of imported modules whose files are not what they were when imported."""
    changed = []
    for name, (filename, mtime) in _imported.items():
        try:
            same = os.stat(filename).st_mtime_ns == mtime
        except OSError:
            same = False
        if not same:
            changed.append(name)
    return changed
