"""Where a run keeps its files, and whether it could."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acme_core.options import MapOptions
from acme_core.signatures import function_name
from acme_io.backend import check_output_dir, clean_name


def new_output_dir() -> Path:
    """Name a folder for a run of which the user named none."""
    return Path.cwd() / f"ACME_{datetime.datetime.now():%Y%m%d-%H%M%S-%f}"


def check_folder(options: MapOptions, func: Callable[..., Any], *, resume: bool) -> None:
    """Check that a run could write its results; writes nothing.

    Raises
    ------
    OSError
        If the output directory cannot be used, or holds results of this function and they are
        not to be resumed.
    """
    if options.write_worker_results:
        name = clean_name(function_name(func))
        check_output_dir(options.output_dir or new_output_dir(), name, resume=resume)
