"""The record of a run: its function, its arguments, its seed, and the versions of software."""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import sys
import time
from typing import Any

from acme_core.arguments.distribution import Distribution
from acme_core.arguments.lazy_types import is_h5py
from acme_core.arguments.signatures import function_module
from acme_core.run.spec import RunSpec
from acme_io.backend import Grid, RunInfo, describe


def draw_seed() -> int:
    """Return a random seed of 128 bits, the size of the entropy that NumPy draws."""
    return secrets.randbits(128)


def describe_run(spec: RunSpec, seed: int) -> RunInfo:
    """Return the record of a run that starts now."""
    options = spec.options
    return RunInfo(
        run_id=secrets.token_hex(8),
        function=spec.name,
        module=function_module(spec.func),
        n_calls=spec.distribution.n_calls,
        started=time.time(),
        host=platform.node(),
        pid=os.getpid(),
        user=_user(),
        versions=_versions(),
        options=options.on_record(),
        seed=seed,
        # A summary of an array holds a digest of all its bytes, which takes time. Results in memory
        # have no record to put it in.
        shared=_described_shared(spec.distribution) if options.write_worker_results else {},
        grid=_grid(spec.distribution),
    )


def _described_shared(distribution: Distribution) -> dict[str, Any]:
    template = distribution.template
    return {template.names[key]: describe(value) for key, value in template.shared.items()}


def _grid(distribution: Distribution) -> Grid | None:
    axes = distribution.grid
    return Grid(tuple(axes), tuple(map(_axis, axes.values()))) if axes else None


def _axis(values: Any) -> Any:
    """Return the values of an axis for the record; rows of a dataset by their place in the file."""
    if not is_h5py(values, "Dataset"):
        return values
    # One by one, items of a dataset take a tenth of a millisecond each.
    return values[:] if values.ndim == 1 else [f"{values.name}[{i}]" for i in range(len(values))]


def _user() -> str:
    try:
        return getpass.getuser()
    # No entry in the password database, as in containers; on Windows there is no such database.
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _versions() -> dict[str, str]:
    """Return the versions of loaded packages; to import one for its version would take time."""
    versions = {"python": platform.python_version()}
    for name in ("acme_core", "acme_io", "acme_cluster", "numpy", "h5py", "distributed"):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(getattr(module, "__version__", ""))
    return versions
