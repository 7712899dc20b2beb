"""`ParallelMap`: the story of one run, told from the top.

::

    ParallelMap(f, ...)      checks the options, distributes the arguments      nothing is started
      .compute()             dry run? ─▶ pickle ─▶ claim folder ─▶ debug? ─▶ workers ─▶ engine
                             ─▶ container ─▶ results, or ComputeError
      .cleanup()             stops the workers that were started for it
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from acme_cluster.backend import shown
from acme_core.advice import warnings_about
from acme_core.clients import client_for, cool_down, warm_up
from acme_core.compute_options import ComputeOptions
from acme_core.conclusion import report_early_end, results_or_error
from acme_core.distribution import distribute
from acme_core.options import MapOptions
from acme_core.outdir import check_folder
from acme_core.packing import packed_shared
from acme_core.work import Work

if TYPE_CHECKING:
    from distributed import Client

    from acme_core.distribution import Place
    from acme_core.orders import RunOrder
    from acme_core.run import Run
    from acme_io import Results
    from acme_io.backend import Failure

logger = logging.getLogger(__name__)


class ParallelMap:
    """Run one function for many inputs, in parallel, with the results on disk.

    Parameters
    ----------
    func : callable
        The function to be called. Anything that can be called will do: functions of scripts and
        notebooks, lambdas, `functools.partial`, methods, classes, NumPy ufuncs.
    *args, **kwargs
        Its arguments. Lists, tuples, ranges and one-dimensional arrays that have as many elements
        as there are calls are split up, one element per call; all else goes whole to every call.
        `each` and `shared` say it outright for their argument.
    n_inputs : int or "auto"
        Number of calls; by default the length that all lists and arrays have in common.
    n_workers : int or "auto"
        Number of parallel worker processes: by default as many as there are cores, at most one
        per call.
    write_worker_results : bool
        Whether each worker writes its results to disk; otherwise they are sent back and kept in
        the memory of this process.
    output_dir : str or path-like, optional
        Folder for the results; by default a new one, named ``ACME_`` and the time, in the
        current folder.
    result_shape : tuple, optional
        Collects the results in one dataset of this shape; the one entry `None` stands for the
        dimension along which they are stacked, `numpy.inf` for a length that the data has.
    result_dtype : dtype_like
        Data type of that dataset.
    single_file : bool
        Whether all results go to one file instead of one file per call.
    write_pickle : bool
        Whether results are pickled instead of written to HDF5.
    dryrun : bool
        Whether one randomly picked call is run here first, to see what it takes.
    partition : str
        Partition of a SLURM cluster to start workers in. With "auto", where the site lists the
        partitions to choose from, up to five randomly picked calls run here first, each in a
        process of its own for at most half a minute, and the smallest partition with enough memory
        is taken (``mem_per_worker`` spares that); elsewhere it is SLURM's default.
    mem_per_worker : str
        Memory of each worker, for instance ``"8GB"``.
    setup_timeout : float
        Seconds to wait for workers.
    setup_interactive : bool
        Whether questions may be asked at a terminal.
    stop_client : bool or "auto"
        Whether the workers are stopped at the end; "auto" stops those that were started here.
    verbose : bool, optional
        `None` shows information and warnings, `True` also what helps to debug ACME, `False`
        warnings and errors only and no progress bar.
    logfile : bool, str or path-like, optional
        File for the messages: by default beside results on disk, and none for results in memory.

    Attributes
    ----------
    results_container : str or None
        The HDF5 file over all results of the last `compute`.
    output_dir : str or None
        Folder of the last `compute`.
    n_inputs : int
        Number of calls.
    n_workers : int or None
        Number of workers of the last `compute`.
    client : distributed.Client or None
        The dask client that was used.
    logfile : str or None
        File with the messages of the last `compute`.
    failures : dict of int to acme_io.record.Failure
        The failed calls of the last `compute`.
    results : acme_io.reader.Results or None
        The results of the last `compute` on disk, opened for reading.

    Raises
    ------
    TypeError, ValueError, OSError
        If something about the arguments is not right; nothing has been started or written then.

    Examples
    --------
    >>> from acme_core import ParallelMap
    >>> def f(x, y, z=3):
    ...     return (x + y) * z
    >>> with ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False, verbose=False) as pmap:
    ...     results = pmap.compute()
    >>> results
    [18, 24, 30, 36]
    """

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        n_inputs: int | str = "auto",
        n_workers: int | str = "auto",
        write_worker_results: bool = True,
        output_dir: str | os.PathLike[str] | None = None,
        result_shape: tuple[int | float | None, ...] | None = None,
        result_dtype: Any = "float",
        single_file: bool = False,
        write_pickle: bool = False,
        dryrun: bool = False,
        partition: str = "auto",
        mem_per_worker: str | int = "auto",
        setup_timeout: float = 60,
        setup_interactive: bool = True,
        stop_client: bool | str = "auto",
        verbose: bool | None = None,
        logfile: bool | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not callable(func):
            raise TypeError(
                f"<ParallelMap> the first argument must be a function, not {func!r}. "
                "Pass the function itself, without calling it: ParallelMap(f, ...)."
            )
        options = MapOptions(
            n_workers=n_workers,
            write_worker_results=write_worker_results,
            output_dir=output_dir,
            result_shape=result_shape,
            result_dtype=result_dtype,
            single_file=single_file,
            write_pickle=write_pickle,
            dryrun=dryrun,
            partition=partition,
            mem_per_worker=mem_per_worker,
            setup_timeout=setup_timeout,
            setup_interactive=setup_interactive,
            stop_client=stop_client,
            verbose=verbose,
            logfile=logfile,
        )
        self._work = Work(func, distribute(func, args, kwargs, n_inputs), options)
        # Results of this function may be there: compute(resume=True) wants them.
        check_folder(options, func, resume=True)
        self._run: Run | None = None
        self._started_client = False
        self._workers: dict[str, int] = {}
        self.client: Client | None = None
        self.n_workers: int | None = None
        with self._messages():
            for warning in warnings_about(self._work):
                logger.warning(warning)

    # -- what the user asks for ---------------------------------------------------------------

    def compute(
        self,
        debug: bool = False,
        *,
        on_error: str = "raise",
        retries: int = 0,
        seed: int | None = None,
        resume: bool = False,
    ) -> list[Any] | None:
        """Run all calls.

        Parameters
        ----------
        debug : bool
            Whether the calls run one after the other in this process: an exception comes out as
            it is, and debuggers work. No workers are started.
        on_error : {"raise", "keep", "stop"}
            What happens when a call fails. "raise": the others run on, then `ComputeError` is
            raised. "keep": there is `None` in its place. "stop": `ComputeError` is raised at
            once.
        retries : int
            How often a failed call is tried again.
        seed : int, optional
            Makes the generators that the calls get as ``rng``; drawn where it is not given, and
            on record.
        resume : bool
            Whether to go on with an earlier run in the same ``output_dir``: only calls that are
            not done run. Where there is none, all do.

        Returns
        -------
        list or None
            In call order, the names of the files that were written, or the values where results
            are kept in memory: with ``result_shape`` the stacked array is the first element.
            `None` if the dry run was declined.

        Raises
        ------
        ComputeError
            If calls failed; the results of all others are kept.
        UnpicklableError
            If the function or a shared argument cannot travel to the workers.
        OSError
            If the output directory holds results of this function already.
        """
        options = ComputeOptions(debug, on_error, retries, seed, resume)
        self._check_resume(resume)
        work = self._work
        if work.distribution.read_once:
            raise ValueError(
                "<ParallelMap> the items of a generator can be drawn once, and an earlier "
                "compute() did so. To compute again pass a list."
            )
        with self._messages():
            if resume:
                work.distribution = work.distribution.drawn()
            if work.options.dryrun and not work.rehearse(options.seed):
                return None
            check_folder(work.options, work.func, resume=resume)
            shared = {} if debug else packed_shared(work.func, work.distribution.template)
            if not (debug or resume):
                # All checks are done, and none of them has imported NumPy, HDF5 or dask: from here
                # on this process and that from which workers will come do so at the same time.
                warm_up()
            run = self._new_run(options)
            try:
                if debug:
                    return self._debug(run)
                return self._compute(run, shared, options)
            finally:
                run.close()

    def report(self, target: str | os.PathLike[str] | None = None) -> str:
        """Write a page of HTML about the last `compute` with results on disk.

        Parameters
        ----------
        target : str or path-like, optional
            Where to; by default beside the results.

        Returns
        -------
        str
            Name of the page, which needs nothing but itself.

        Raises
        ------
        RuntimeError
            If there is no such `compute`.
        OSError
            If the page cannot be written.
        """
        place = None if self._run is None else self._run.container or self._run.output_dir
        if place is None:
            raise RuntimeError(
                "<ParallelMap> there is nothing to report yet: a report is about results on disk. "
                "Call compute() first, without write_worker_results=False."
            )
        from acme_io import write_report

        return str(write_report(place, target))

    def cleanup(self) -> None:
        """Stop the workers that were started for this object, or all if ``stop_client=True``."""
        stop = self._work.options.stop_client
        if self.client is None or stop is False or not (self._started_client or stop is True):
            return
        from acme_cluster.backend import close_client

        with self._messages():
            client, self.client, self._started_client = self.client, None, False
            close_client(client)
            logger.debug("<ParallelMap> DEBUG: stopped the workers")

    def __enter__(self) -> ParallelMap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cleanup()

    # -- what is known afterwards -------------------------------------------------------------

    @property
    def n_inputs(self) -> int:
        """Number of calls."""
        return self._work.distribution.n_calls

    @property
    def output_dir(self) -> str | None:
        """Folder of the results: the user's, or that of the last `compute`."""
        if self._run is not None:
            return self._run.output_dir
        return None if self._work.options.output_dir is None else str(self._work.options.output_dir)

    @property
    def results_container(self) -> str | None:
        """Name of the container of the last `compute`."""
        return None if self._run is None else self._run.container

    @property
    def logfile(self) -> str | None:
        """Name of the file with the messages of the last `compute`."""
        return None if self._run is None else self._run.logfile

    @property
    def failures(self) -> dict[int, Failure]:
        """The failed calls of the last `compute`."""
        return {} if self._run is None else dict(self._run.ledger.failures)

    @property
    def results(self) -> Results | None:
        """The results of the last `compute` on disk, opened for reading."""
        return None if self._run is None else self._run.results()

    # -- the steps of a run -------------------------------------------------------------------

    def _messages(self) -> Any:
        level = {None: logging.INFO, True: logging.DEBUG, False: logging.WARNING}
        return shown(level[self._work.options.verbose], loggers=("acme_core", "acme_io"))

    def _check_resume(self, resume: bool) -> None:
        if resume and self._work.options.output_dir is None:
            raise ValueError(
                "<ParallelMap> resume=True needs the output_dir of the run to go on with: "
                "ParallelMap(..., output_dir=...)."
            )

    def _new_run(self, options: ComputeOptions) -> Run:
        from acme_core.run import Run

        try:
            return Run(self._work, options.seed, resume=options.resume)
        except BaseException:  # somebody else was quicker, for instance
            cool_down()
            raise

    def _debug(self, run: Run) -> list[Any]:
        """Run all calls here; an exception of the function comes out as it is."""
        from acme_core.here import run_here

        self._run = run
        try:
            run_here(
                self._work.order_of(run),
                self._work.distribution,
                run.ledger.todo(),
                run.ledger.accept,
            )
        finally:
            if run.ledger.n_done:
                run.finish()
            else:  # nothing to keep, and nothing to be in the way of the next attempt
                run.close(discard=True)
                self._run = None
        return results_or_error(run, "raise")

    def _compute(self, run: Run, shared: dict[Place, Any], options: ComputeOptions) -> list[Any]:
        """Run all calls on workers; no workers are started if all are done already."""
        client = None
        try:
            if run.ledger.todo():
                client = self._client(run)
        except BaseException:
            run.close(discard=True)
            raise
        self._run = run
        if client is None:
            run.finish()
        else:
            order = replace(
                self._work.order_of(run),
                shared=shared,
                stop_at_failure=options.on_error == "stop",
            )
            self._run_calls(client, run, order, options.retries)
        return results_or_error(run, options.on_error)

    def _run_calls(self, client: Client, run: Run, order: RunOrder, retries: int) -> None:
        from acme_core.dispatch import dispatch

        try:
            dispatch(
                client,
                run,
                order,
                self._work.distribution,
                retries=retries,
                progress=self._work.options.verbose is not False,
                workers=self._workers,
            )
        except BaseException as error:
            try:
                if not isinstance(error, Exception):  # Ctrl-C: what was started here ends with it,
                    self.cleanup()  # and then writes nothing any more
            finally:
                run.finish()
                report_early_end(run, error)
            raise
        run.finish()

    def _client(self, run: Run) -> Client:
        self.client, self._workers, started = client_for(
            self._work.options,
            self.n_inputs,
            partial(self._work.measure, run.seed),
            meanwhile=run.get_ready,
        )
        self._started_client = self._started_client or started
        self.n_workers = len(self._workers)
        return self.client
