"""What is allowed, but probably not what the user means: said before anything starts."""

from __future__ import annotations

from collections.abc import Iterable

from acme_core.distribution import Distribution
from acme_core.options import OPTION_NAMES, MapOptions
from acme_core.signatures import CallSignature
from acme_core.work import Work

LARGE_ARGUMENT = 100 * 1000 * 1000
"""Bytes from which on an argument is reported."""


def warnings_about(work: Work) -> list[str]:
    """Say what is allowed, but probably not what the user means."""
    return [
        *_options_as_parameters(CallSignature(work.func).parameters),
        *_options_without_effect(work.options),
        *work.distribution.warnings,
        *_large_arguments(work.distribution),
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
        f"<ParallelMap> WARNING: `{name}` takes {size / 1e6:.0f} MB, which have to travel to "
        "the workers. Rather save it to a file, pass the file's name or an open h5py.Dataset, "
        "and read in the function what the call needs."
        for name, size in distribution.sizes().items()
        if size > LARGE_ARGUMENT
    ]
