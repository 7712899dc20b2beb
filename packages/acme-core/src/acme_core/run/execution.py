"""The steps of one `ParallelMap.compute` between its checks and its results.

::

    start_run ─▶ compute_in_process                              compute(debug=True)
              └▶ connect ─▶ compute_on_workers ─▶ dispatch       otherwise

Finished calls are kept however a run ends: every path completes the container by `Run.finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from acme_core.run.connection import UsableClient, cool_down
from acme_core.run.outcome import report_early_end
from acme_core.run.spec import RunSpec
from acme_core.run_options import ComputeOptions

if TYPE_CHECKING:
    from acme_core.arguments.distribution import ArgumentKey
    from acme_core.run.run import Run


def check_options(spec: RunSpec, options: ComputeOptions) -> None:
    """Raise ValueError if `compute` cannot run with these options, before anything is started."""
    if options.resume and spec.options.output_dir is None:
        raise ValueError(
            "<ParallelMap> resume=True needs the output_dir of the run to continue: "
            "ParallelMap(..., output_dir=...)."
        )
    if spec.distribution.exhausted:
        raise ValueError(
            "<ParallelMap> the items of a generator can be read only once, and an earlier "
            "compute() did so. To compute again, pass a list."
        )


def start_run(spec: RunSpec, options: ComputeOptions) -> Run:
    """Open the output directory and the log of a new or resumed run."""
    from acme_core.run.run import Run

    try:
        return Run(spec, options.seed, resume=options.resume)
    # For instance, another process has just started a run in the folder. Without a run there are
    # no workers, and `ParallelMap.cleanup` would not end the fork server.
    except BaseException:
        cool_down()
        raise


def compute_in_process(spec: RunSpec, run: Run) -> None:
    """Evaluate the calls here; discard the run if its first call raises."""
    from acme_core.run.in_process import run_in_process
    from acme_core.transport.shared_arguments import freeze_where_possible

    shared = freeze_where_possible(spec.distribution.template.shared)
    context = spec.context(run.seed, shared, sink=run.sink)
    try:
        run_in_process(
            context, spec.distribution, run.call_states.pending(), run.call_states.accept
        )
    finally:
        if run.call_states.n_done:
            run.finish()
        else:  # a folder without results would only block the next attempt
            run.close(discard=True)


def compute_nested(spec: RunSpec, run: Run, options: ComputeOptions) -> None:
    """Evaluate the calls here, because this is a call of another run."""
    from acme_core.run.nested import run_nested, say_once

    say_once()
    run_nested(spec, run, options)


def connect(run: Run, find_client: Callable[[Run], UsableClient]) -> UsableClient | None:
    """Return a client with workers, or `None` if no call is pending; discard the run on failure."""
    try:
        return find_client(run) if run.call_states.pending() else None
    except BaseException:
        run.close(discard=True)
        raise


def compute_on_workers(
    spec: RunSpec,
    run: Run,
    found: UsableClient,
    shared: Mapping[ArgumentKey, Any],
    options: ComputeOptions,
    stop_workers: Callable[[], object],
) -> None:
    """Evaluate the calls on workers, and complete the run however it ends.

    ``shared`` holds the packed shared arguments; ``stop_workers`` stops the workers started for
    this run, if any.
    """
    # Imports the engine and distributed, while workers are already there.
    from acme_core.run.dispatch import dispatch

    try:
        dispatch(found, run, spec, shared, options)
    except BaseException as error:
        try:
            # After Ctrl-C, workers must have stopped writing before the container is completed.
            if not isinstance(error, Exception):
                stop_workers()
        finally:
            run.finish()
            report_early_end(run, error)
        raise
    run.finish()
