"""The run of a `ParallelMap` inside a call of another one: its calls run there, one by one.

Workers of its own would compete with those of the outer run, and those of the outer run may all be
waiting in such calls.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from acme_core.arguments.distribution import Distribution
from acme_core.run.in_process import run_batch
from acme_core.run.spec import RunSpec
from acme_core.run_options import ComputeOptions
from acme_core.transport.protocol import BatchOutcome, RunContext
from acme_core.transport.shared_arguments import freeze_where_possible

if TYPE_CHECKING:
    from acme_core.run.run import Run

logger = logging.getLogger(__name__)

_said = False


def say_once() -> None:
    """Log that the calls run here, once in this process."""
    global _said
    if not _said:
        _said = True
        logger.info(
            "<ParallelMap> INFO: This ParallelMap is inside a call of another one; its calls run "
            "there, one after the other."
        )


def run_nested(spec: RunSpec, run: Run, options: ComputeOptions) -> Iterator[None]:
    """Evaluate the calls in this process and thread; failures are recorded as on workers.

    The iterator stops after each batch.
    """
    distribution = spec.distribution
    if options.retries:  # items of an iterator are needed again
        distribution = distribution.with_items_read()
    shared = freeze_where_possible(distribution.template.shared)
    context = spec.context(run.seed, shared, sink=run.sink)
    for attempt in range(1, options.retries + 2):
        # A failure that a further attempt may mend stops nothing.
        last = attempt == options.retries + 1
        stop = last and options.on_error == "stop"
        context = replace(context, stop_at_failure=stop)
        yield from _run_pending(context, distribution, run, attempt, last=last)


def _run_pending(
    context: RunContext, distribution: Distribution, run: Run, attempt: int, *, last: bool
) -> Iterator[None]:
    """Evaluate the calls that have no result, up to a failure if that ends the run."""

    def accept(outcome: BatchOutcome) -> None:
        run.call_states.accept(outcome, set() if last else set(outcome.failures))

    # Growing batches, as in `run_in_process`: each may write a file.
    size = 1
    for calls in run.call_states.pending():
        while calls:
            outcome = run_batch(
                context, distribution, calls[:size], accept, attempt=attempt, reraise=False
            )
            yield
            if outcome.failures and context.stop_at_failure:
                return
            calls = calls[outcome.n_calls :]
            if run.ended is None:
                size *= 2
