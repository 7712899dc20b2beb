"""The dry run: one call, evaluated in this process before all others run on workers."""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path

from acme_core.run.in_process import run_single_call
from acme_core.run.run_info import describe_run, draw_seed
from acme_core.run.spec import RunSpec
from acme_core.transport.shared_arguments import freeze_where_possible
from acme_core.worker.peak_memory import PeakMemory
from acme_io.backend import RunStore

logger = logging.getLogger(__name__)

# Bytes per "MB" in the user guide's message.
_MEGABYTE = 1024 * 1024


def dry_run(spec: RunSpec, seed: int | None) -> bool:
    """Evaluate one call, report its run time and memory, and ask whether to run all calls.

    The call is picked at random; if items come from an iterator, it is the first one.

    Returns
    -------
    bool
        Whether to run all calls.

    Raises
    ------
    Exception
        The exception of the call, or the reason its result cannot be stored.
    """
    seed = draw_seed() if seed is None else seed
    distribution = spec.distribution
    # The system's random numbers leave the user's NumPy and `random` states unchanged.
    call = 0 if distribution.reads_iterators else secrets.randbelow(distribution.n_calls)
    logger.info(
        f"<ParallelMap> INFO: Performing a single dry-run of {spec.name} simulating randomly "
        f"picked worker #{call} with automatically distributed arguments"
    )
    peak = PeakMemory()
    before = peak.read()
    began = time.perf_counter()
    _evaluate(spec, seed, call)
    elapsed = time.perf_counter() - began
    # Relative to this process, which holds the user's data and all libraries already.
    megabytes = max(0, peak.read() - before) / _MEGABYTE
    logger.info(
        f"<ParallelMap> INFO: Dry-run completed. Elapsed time is {elapsed:f} seconds, "
        f"estimated memory consumption was {megabytes:.2f} MB."
    )
    return _confirmed(spec.name, spec.options.setup_interactive)


def _evaluate(spec: RunSpec, seed: int, call: int) -> None:
    """Evaluate a call and store its result as the run would, in a temporary folder."""
    columns = spec.distribution.peek(call)
    shared = freeze_where_possible(spec.distribution.template.shared)
    if spec.storage is None:
        run_single_call(spec.context(seed, shared), call, columns)
        return
    with tempfile.TemporaryDirectory(prefix="acme-dryrun-") as folder:
        info = describe_run(spec, seed)
        store = RunStore.create(Path(folder), spec.name, spec.storage, info)
        try:
            run_single_call(spec.context(seed, shared, sink=store.sink), call, columns)
        finally:
            store.close(discard=True)


def _confirmed(name: str, interactive: bool) -> bool:
    """Ask at the terminal whether to run all calls; without a terminal the answer is yes."""
    if not (interactive and _at_terminal()):
        return True
    question = f"Do you want to continue executing {name} with the provided arguments? [Y/n] "
    while True:
        try:
            answer = input(question).strip().lower()
        # ipykernel raises NotImplementedError if the notebook runs without a front end.
        except (EOFError, NotImplementedError):
            return True
        if answer in ("", "y", "yes"):
            return True
        if answer in ("n", "no"):
            return False


def _at_terminal() -> bool:
    try:
        return "ipykernel" in sys.modules or sys.stdin.isatty()
    except (AttributeError, ValueError):  # standard input is closed
        return False
