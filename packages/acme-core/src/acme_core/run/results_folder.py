"""The output directory of a run: its default name, and the check that it can be used."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acme_core.arguments.signatures import function_name
from acme_core.run_options import MapOptions
from acme_io.backend import check_output_dir, clean_name


def new_output_dir() -> Path:
    """Return the default output directory: ``ACME_`` and the time, in the current folder."""
    return Path.cwd() / f"ACME_{datetime.datetime.now():%Y%m%d-%H%M%S-%f}"


# Called twice: in the constructor, for early errors, and in compute(), which may come much later.
def check_results_folder(options: MapOptions, func: Callable[..., Any], *, resume: bool) -> None:
    """Check without writing anything that a run can write its results.

    Raises
    ------
    OSError
        If the output directory cannot be used, or holds results of this function and ``resume``
        is false.
    """
    if options.write_worker_results:
        name = clean_name(function_name(func))
        check_output_dir(options.output_dir or new_output_dir(), name, resume=resume)
