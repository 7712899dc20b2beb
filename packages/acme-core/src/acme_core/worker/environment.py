"""Makes a worker process resemble the process in which the user called `compute`.

Covers the working directory, the module search path, the sizes of thread pools, and imported
modules whose files may change between two runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from acme_core.worker.libraries import is_library

# Of the worker itself, kept behind the client's entries: it may have another environment.
_own_path = tuple(sys.path)
_environment_at_start = dict(os.environ)
# User modules: name -> file and time of its last change, in nanoseconds since the epoch.
_imported: dict[str, tuple[str, int]] = {}
_seen: set[str] = set()
_n_modules = 0
# Read by each library when it is loaded, not later.
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
    # On a machine without that folder, the worker stays in its own.
    with contextlib.suppress(OSError):
        # Compared first: a change of directory is a request to the server on network file systems.
        if os.getcwd() != cwd:
            os.chdir(cwd)
    wanted = list(sys_path)
    sys.path[:] = wanted + [entry for entry in _own_path if entry not in wanted]


def limit_threads(n_cores: int) -> None:
    """Limit the thread pools of BLAS and OpenMP to ``n_cores``, whether loaded yet or not.

    By default each pool has as many threads as the machine has cores, in every worker.
    """
    # numba reads it when it is imported, which no worker does before its first call.
    os.environ["NUMBA_NUM_THREADS"] = str(n_cores)
    wanted = dict.fromkeys(_THREAD_VARIABLES, str(n_cores))
    if wanted.items() <= _environment_at_start.items():
        return  # loaded libraries have read the limits, others will
    import threadpoolctl

    os.environ.update(wanted)
    threadpoolctl.threadpool_limits(limits=n_cores)


def worker_cores(n_threads: int) -> int:
    """Return the number of cores of this worker: those reserved for it, else one per thread."""
    # Set by acme_cluster for jobs with several cores per worker.
    reserved = os.environ.get("ACME_WORKER_CORES", "")
    return int(reserved) if reserved.isdigit() and int(reserved) else max(1, n_threads)


def note_imports() -> None:
    """Record the state on disk of the user's modules; cheap if no module is new."""
    global _n_modules
    # After every batch: the count tells in well under a microsecond that nothing was imported.
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
    """Return the names of imported modules whose files have changed since, or are gone."""
    changed = []
    for name, (filename, mtime) in _imported.items():
        try:
            same = os.stat(filename).st_mtime_ns == mtime
        except OSError:
            same = False
        if not same:
            changed.append(name)
    return changed
