"""The dry run: one call, evaluated here, before the others are let loose."""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from acme_core.distribution import Distribution
from acme_core.here import frozen_where_possible, run_one_here
from acme_core.memory import PeakMemory
from acme_core.orders import RunOrder
from acme_io import StorageOptions
from acme_io.backend import RunInfo, RunStore

logger = logging.getLogger(__name__)

_MEGABYTE = 1024 * 1024


def rehearse(
    name: str,
    order: RunOrder,
    distribution: Distribution,
    storage: StorageOptions | None,
    info: RunInfo,
) -> None:
    """Evaluate one randomly picked call and say how long it took and how much memory it needed.

    Its result is stored as it would be in the run, in a temporary folder that is removed.

    Parameters
    ----------
    name : str
        Name of the function.
    order : RunOrder
        The run.
    distribution : Distribution
        The arguments. Where they can be read only once, it is the first call that is picked.
    storage : StorageOptions or None
        How results are stored, `None` for in memory.
    info : RunInfo
        The record of the run.

    Raises
    ------
    Exception
        What the function raises, as it is, or what keeps its result from being stored.
    """
    call = 0 if distribution.draws else secrets.randbelow(distribution.n_calls)
    logger.info(
        f"<ParallelMap> INFO: Performing a single dry-run of {name} simulating randomly picked "
        f"worker #{call} with automatically distributed arguments"
    )
    peak = PeakMemory()
    before = peak.read()
    began = time.perf_counter()
    _run_aside(name, order, distribution, storage, info, call)
    elapsed = time.perf_counter() - began
    megabytes = max(0, peak.read() - before) / _MEGABYTE
    logger.info(
        f"<ParallelMap> INFO: Dry-run completed. Elapsed time is {elapsed:f} seconds, "
        f"estimated memory consumption was {megabytes:.2f} MB."
    )


def _run_aside(
    name: str,
    order: RunOrder,
    distribution: Distribution,
    storage: StorageOptions | None,
    info: RunInfo,
    call: int,
) -> None:
    columns = distribution.ahead(call)
    order = replace(order, shared=frozen_where_possible(order.shared))
    if storage is None:
        run_one_here(order, call, columns)
        return
    with tempfile.TemporaryDirectory(prefix="acme-dryrun-") as folder:
        store = RunStore.create(Path(folder), name, storage, info)
        try:
            run_one_here(replace(order, sink=store.sink), call, columns)
        finally:
            store.close(discard=True)


def wants_to_go_on(name: str, interactive: bool) -> bool:
    """Ask at the terminal whether to run all calls; without a terminal the answer is yes."""
    if not (interactive and _at_terminal()):
        return True
    question = f"Do you want to continue executing {name} with the provided arguments? [Y/n] "
    while True:
        try:
            answer = input(question).strip().lower()
        except (EOFError, NotImplementedError):  # a notebook that nobody looks at
            return True
        if answer in ("", "y", "yes"):
            return True
        if answer in ("n", "no"):
            return False


def _at_terminal() -> bool:
    try:
        return "ipykernel" in sys.modules or sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False
