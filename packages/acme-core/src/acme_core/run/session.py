"""The runs of one `ParallelMap`, and the workers that they share.

::

    compute, as_completed ─▶ dry run ─▶ pickle shared arguments ─▶ start_run ─▶ step, step ...
                                       compute: all steps, then the results ◀──┤
                                     as_completed: a step when the loop asks ◀──┘
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from acme_cluster.backend import shown
from acme_core.run import execution
from acme_core.run.connection import UsableClient, find_or_start_client, warm_up
from acme_core.run.loop import as_they_end, end_at_exit, end_loops, loop_over
from acme_core.run.outcome import results_or_error
from acme_core.run.results_folder import check_results_folder
from acme_core.run.spec import RunSpec
from acme_core.run_options import ComputeOptions
from acme_core.transport.shared_arguments import pack_shared
from acme_core.worker.nesting import is_inside_a_call

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from distributed import Client

    from acme_core.arguments.distribution import ArgumentKey
    from acme_core.run.calls.ended_calls import EndedCall
    from acme_core.run.calls.step import Step
    from acme_core.run.run import Run
    from acme_core.run.trials.memory_estimate import Measurement

logger = logging.getLogger(__name__)

# Level of the messages shown, by the option ``verbose``.
_LEVELS = {None: logging.INFO, True: logging.DEBUG, False: logging.WARNING}


class Session:
    """Runs the calls of one `ParallelMap`, once or several times.

    Parameters
    ----------
    spec : RunSpec
        The function, its arguments, and the options.

    Attributes
    ----------
    run : Run or None
        The last run.
    client : distributed.Client or None
        The client in use.
    n_workers : int or None
        Number of workers of the last run.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.run: Run | None = None
        self.client: Client | None = None
        self.n_workers: int | None = None
        self._started_client = False
        # Weakly: a loop that is left drops the last reference, and thereby ends its run.
        self._loops: WeakSet[Generator[EndedCall, None, None]] = WeakSet()

    def messages(self) -> Any:
        """Show messages on the console while inside."""
        # Only while a public method runs: ACME leaves the user's logging configuration alone.
        level = _LEVELS[self.spec.options.verbose]
        return shown(level, loggers=("acme_core", "acme_io"))

    def compute(self, options: ComputeOptions) -> list[Any] | None:
        """Run all calls; return their results, or `None` if the user declines after a dry run."""
        spec = self.spec
        execution.check_options(spec, options)
        with self.messages():
            shared = self._prepare(options)
            if shared is None:
                return None
            run = execution.start_run(spec, options)
            try:
                with self._running(run, shared, options) as step:
                    while step():
                        pass
                return results_or_error(run, options.on_error)
            finally:
                self._close(run)

    def as_completed(self, options: ComputeOptions) -> Generator[EndedCall, None, None]:
        """Return a generator of the calls as they end; nothing starts before the first one."""
        execution.check_options(self.spec, options)
        loop = loop_over(partial(self._calls, options))
        self._loops.add(loop)
        return loop

    def _calls(self, options: ComputeOptions, stack: ExitStack) -> Iterator[EndedCall]:
        """Run all calls and yield them; what has to end with the loop goes on the stack."""
        stack.enter_context(self.messages())
        execution.check_options(self.spec, options)
        shared = self._prepare(options)
        if shared is None:
            return
        run = execution.start_run(self.spec, options, as_completed=True)
        stack.callback(self._close, run)
        assert run.ended is not None
        if options.resume:
            run.ended.add_earlier(run.call_states.done())
        running = stack.enter_context(ExitStack())
        step = running.enter_context(self._running(run, shared, options))
        end_at_exit(self._loops)
        yield from as_they_end(step, run, most_waiting=self.n_workers or 1)
        running.close()
        results_or_error(run, options.on_error)

    def _close(self, run: Run) -> None:
        run.close()
        # Its first call failed in this process: nothing of it is left to look at.
        if run.discarded and self.run is run:
            self.run = None

    def _running(
        self, run: Run, shared: Mapping[ArgumentKey, Any], options: ComputeOptions
    ) -> AbstractContextManager[Step]:
        """Return the way in which the calls of a run are evaluated."""
        if options.debug:
            self.run = run
            return execution.in_process(self.spec, run)
        if is_inside_a_call():
            self.run = run
            return execution.in_a_call(self.spec, run, options)
        found = execution.connect(run, self._find_client)
        self.run = run
        if found is None:  # a resumed run with nothing left to do
            return execution.nothing_to_do(run)
        return execution.on_workers(self.spec, run, found, shared, options, self.stop_workers)

    def _prepare(self, options: ComputeOptions) -> Mapping[ArgumentKey, Any] | None:
        """Return the packed shared arguments; `None` if the user declines after a dry run."""
        spec = self.spec
        if options.resume:
            # The calls that are done must be compared with all items, before any call runs.
            spec.distribution = spec.distribution.with_items_read()
        if spec.options.dryrun and not self._dry_run(options.seed):
            return None
        check_results_folder(spec.options, spec.func, resume=options.resume)
        if options.debug or is_inside_a_call():
            return {}
        shared = pack_shared(spec.func, spec.distribution.template)
        if not options.resume:
            # No check so far has imported NumPy, h5py or dask. From here on, this process and
            # the fork server of the workers import them at the same time, on two cores.
            warm_up()
        return shared

    def end(self) -> None:
        """End the runs of loops that were left open, and stop the workers."""
        end_loops(self._loops)
        self.stop_workers()

    def stop_workers(self) -> None:
        """Stop the workers started by this object, or all workers if ``stop_client=True``."""
        stop = self.spec.options.stop_client
        if self.client is None or stop is False or not (self._started_client or stop is True):
            return
        from acme_cluster.backend import close_client

        with self.messages():
            client, self.client, self._started_client = self.client, None, False
            close_client(client)
            logger.debug("<ParallelMap> DEBUG: stopped the workers")

    def _dry_run(self, seed: int | None) -> bool:
        from acme_core.run.trials.dry_run import dry_run

        return dry_run(self.spec, seed)

    def _find_client(self, run: Run) -> UsableClient:
        def measure() -> Sequence[Measurement]:
            from acme_core.run.trials.memory_estimate import measure

            return measure(self.spec, run.seed)

        found = find_or_start_client(
            self.spec.options, self.spec.distribution.n_calls, measure, meanwhile=run.get_ready
        )
        self.client, self.n_workers = found.client, len(found.workers)
        self._started_client = self._started_client or found.started
        return found
