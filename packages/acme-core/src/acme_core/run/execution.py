"""The steps of one run between the checks of its options and its results.

::

    start_run ─▶ in_process              compute(debug=True)                       ┐
              ├▶ in_a_call               a ParallelMap in a call of another one    │
              ├▶ connect ─▶ on_workers ─▶ dispatch                                 ├▶ Step
              └▶ nothing_to_do           a resumed run that is complete            ┘

Each way is a context manager. It yields a step, which whoever runs the calls repeats until the run
is over: `Session.compute` at once, `Session.as_completed` as the user asks for calls. Finished
calls are kept however a run ends: every way completes the container by `Run.finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from acme_core.run.calls.step import Step
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


def start_run(spec: RunSpec, options: ComputeOptions, *, as_completed: bool = False) -> Run:
    """Open the output directory and the log of a new or resumed run."""
    from acme_core.run.run import Run

    try:
        return Run(spec, options.seed, resume=options.resume, as_completed=as_completed)
    # For instance, another process has just started a run in the folder. Without a run there are
    # no workers, and `ParallelMap.cleanup` would not end the fork server.
    except BaseException:
        cool_down()
        raise


def connect(run: Run, find_client: Callable[[Run], UsableClient]) -> UsableClient | None:
    """Return a client with workers, or `None` if no call is pending; discard the run on failure."""
    try:
        return find_client(run) if run.call_states.pending() else None
    except BaseException:
        run.close(discard=True)
        raise


@contextmanager
def in_process(spec: RunSpec, run: Run) -> Iterator[Step]:
    """Evaluate the calls here; discard the run if its first call raises."""
    from acme_core.run.in_process import run_in_process
    from acme_core.transport.shared_arguments import freeze_where_possible

    shared = freeze_where_possible(spec.distribution.template.shared)
    context = spec.context(run.seed, shared, sink=run.sink)
    states, one_by_one = run.call_states, run.ended is not None
    batches = run_in_process(
        context, spec.distribution, states.pending(), states.accept, one_by_one=one_by_one
    )
    with _complete_here(run):
        try:
            yield _step(batches)
        finally:
            if not states.n_done:  # a folder without results would only block the next attempt
                run.close(discard=True)


@contextmanager
def in_a_call(spec: RunSpec, run: Run, options: ComputeOptions) -> Iterator[Step]:
    """Evaluate the calls here, because this is a call of another run."""
    from acme_core.run.nested import run_nested, say_once

    say_once()
    with _complete_here(run):
        yield _step(run_nested(spec, run, options))


@contextmanager
def _complete_here(run: Run) -> Iterator[None]:
    """Complete a run in this process on the way out, unless it is discarded by then."""
    try:
        yield
    except BaseException as error:
        if not run.discarded:
            run.finish()
        # An exception is the user's own; a loop that was left may have to be continued.
        if isinstance(error, GeneratorExit) and not run.call_states.all_ended:
            report_early_end(run, error)
        raise
    if not run.discarded:
        run.finish()


def _step(batches: Iterator[None]) -> Step:
    # Without `wait` no call can have ended: nobody evaluates one meanwhile.
    def step(*, wait: bool = True) -> bool:
        return not wait or next(batches, batches) is not batches

    return step


@contextmanager
def nothing_to_do(run: Run) -> Iterator[Step]:
    """Finish a run without pending calls."""
    try:
        yield lambda *, wait=True: False
    finally:
        run.finish()


@contextmanager
def on_workers(
    spec: RunSpec,
    run: Run,
    found: UsableClient,
    shared: Mapping[ArgumentKey, Any],
    options: ComputeOptions,
    stop_workers: Callable[[], object],
) -> Iterator[Step]:
    """Evaluate the calls on workers, and complete the run however it ends.

    ``shared`` holds the packed shared arguments; ``stop_workers`` stops the workers started for
    this run, if any.
    """
    # Imports the engine and distributed, while workers are already there.
    from acme_core.run.dispatch import dispatched

    try:
        with dispatched(found, run, spec, shared, options) as step:
            yield step
    except BaseException as error:
        # A loop was left at one of the last calls: nothing is stopped, and nothing to be resumed.
        if isinstance(error, GeneratorExit) and run.call_states.all_ended:
            run.finish()
            raise
        try:
            # After Ctrl-C, workers must have stopped writing before the container is completed.
            if not isinstance(error, Exception):
                stop_workers()
        finally:
            run.finish()
            report_early_end(run, error)
        raise
    run.finish()
