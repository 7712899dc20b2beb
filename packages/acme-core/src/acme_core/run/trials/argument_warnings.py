"""Warnings about arguments and options that are valid but probably unintended."""

from __future__ import annotations

from collections.abc import Iterable

from acme_core.arguments.distribution import Distribution
from acme_core.arguments.signatures import CallSignature
from acme_core.run.spec import RunSpec
from acme_core.run_options import OPTION_NAMES, MapOptions

LARGE_ARGUMENT = 100 * 1000 * 1000
"""Size in bytes above which an argument is reported: writing it to a file takes noticeable time."""


def warnings_about(spec: RunSpec) -> list[str]:
    """Return warnings about a run that has not started."""
    return [
        *_options_as_parameters(CallSignature(spec.func).parameters),
        *_options_without_effect(spec.options),
        *spec.distribution.warnings,
        *_large_arguments(spec.distribution),
    ]


def _options_as_parameters(names: Iterable[str]) -> list[str]:
    return [
        f"<ParallelMap> WARNING: `{name}` is an option of ParallelMap and a parameter of the "
        "function; by keyword it goes to ParallelMap. Pass it to the function by position, "
        f"or bind it: functools.partial(f, {name}=...)."
        for name in names
        if name in OPTION_NAMES
    ]


def _options_without_effect(options: MapOptions) -> list[str]:
    if options.write_worker_results:
        return []
    return [
        f"<ParallelMap> WARNING: `{name}` has no effect with write_worker_results=False."
        for name in ("output_dir", "single_file", "write_pickle")
        if getattr(options, name)
    ]


def _large_arguments(distribution: Distribution) -> list[str]:
    return [
        f"<ParallelMap> WARNING: `{name}` takes {size / 1e6:.0f} MB, all of which are sent to the "
        "workers. It is faster to save it to a file, to pass the file's name or an open "
        "h5py.Dataset, and to read only the required part in the function."
        for name, size in distribution.sizes().items()
        if size > LARGE_ARGUMENT
    ]
