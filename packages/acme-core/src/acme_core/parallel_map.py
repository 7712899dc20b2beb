"""`ParallelMap`: run one function for many inputs in parallel.

::

    ParallelMap(f, ...)   checks options, distributes arguments; starts and writes nothing
      .compute()          dry run ─▶ pickle shared arguments ─▶ open the output directory
                          ─▶ workers ─▶ engine ─▶ container ─▶ results, or ComputeError
      .as_completed()     the same, with each call as it ends
      .cleanup()          stops the workers it started

This module is the interface; `acme_core.run` holds the steps.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from acme_core.arguments.distribution import distribute
from acme_core.arguments.signatures import function_name, is_coroutine_function
from acme_core.run.results_folder import check_results_folder
from acme_core.run.session import Session
from acme_core.run.spec import RunSpec
from acme_core.run.trials.argument_warnings import warnings_about
from acme_core.run_options import ComputeOptions, MapOptions

if TYPE_CHECKING:
    from distributed import Client

    from acme_core.run.calls.ended_calls import EndedCall
    from acme_io import Results
    from acme_io.backend import Failure

logger = logging.getLogger(__name__)


class ParallelMap:
    """Run one function for many inputs, in parallel, with the results on disk.

    Parameters
    ----------
    func : callable
        The function to call: any callable, such as functions of scripts and notebooks, lambdas,
        `functools.partial`, methods, classes and NumPy ufuncs.
    *args, **kwargs
        Its arguments. Lists, tuples, ranges, one-dimensional arrays, and pandas `Series` and
        `Index`, with one element per call are distributed among the calls; everything else goes to
        every call whole. `each`, `shared` and `cross` override this.
    n_inputs : int or "auto"
        Number of calls; by default the common length of all lists and arrays, or the number of
        combinations of all arguments marked by `cross`.
    n_workers : int or "auto"
        Number of worker processes: by default one per core, at most one per call.
    write_worker_results : bool
        Whether workers write results to disk; otherwise results return to this process.
    output_dir : str or path-like, optional
        Folder for the results; by default a new one, named ``ACME_`` and the time, in the
        current folder.
    result_shape : tuple, optional
        Shape of one dataset that collects the results. One entry is `None`, the dimension along
        which they are stacked; an entry `numpy.inf` takes its length from the data.
    result_dtype : dtype_like
        Data type of that dataset.
    single_file : bool
        Whether all results go to one file instead of one file per call.
    write_pickle : bool
        Whether results are pickled instead of written to HDF5.
    dryrun : bool
        Whether to first run one randomly picked call in this process, and report its run time
        and memory.
    partition : str
        SLURM partition for the workers. "auto" is SLURM's default, or, at sites that list their
        partitions, the smallest one with enough memory: up to five randomly picked calls are
        measured first, each in its own local process for at most half a minute
        (``mem_per_worker`` skips this).
    mem_per_worker : str
        Memory of each worker, for instance ``"8GB"``.
    setup_timeout : float
        Seconds to wait for workers.
    setup_interactive : bool
        Whether to ask questions at a terminal.
    stop_client : bool or "auto"
        Whether to stop the workers at the end; "auto" stops those started by this object.
    verbose : bool, optional
        `None` shows information and warnings, `True` also messages for debugging ACME, `False`
        only warnings and errors, and no progress bar.
    logfile : bool, str or path-like, optional
        File for the messages; by default beside results on disk, none for results in memory.

    Attributes
    ----------
    results_container : str or None
        The HDF5 file with all results of the last `compute`.
    output_dir : str or None
        Folder of the last `compute`.
    n_inputs : int
        Number of calls.
    n_workers : int or None
        Number of workers of the last `compute`.
    client : distributed.Client or None
        The dask client in use.
    logfile : str or None
        File with the messages of the last `compute`.
    failures : dict of int to acme_io.backend.Failure
        The failed calls of the last `compute`, with exception, traceback and arguments.
    results : acme_io.Results or None
        The results of the last `compute` on disk, open for reading.

    Raises
    ------
    TypeError, ValueError, OSError
        If an argument is wrong. Nothing has been started or written by then.

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
        if is_coroutine_function(func):
            raise TypeError(
                f"<ParallelMap> {function_name(func)} is a coroutine function (async def): a call "
                "only makes a coroutine, which nobody awaits. Run it in an ordinary function: "
                f"def run(x): return asyncio.run({function_name(func)}(x)), and pass that one."
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
        self._spec = RunSpec(func, distribute(func, args, kwargs, n_inputs), options)
        # Results of this function may exist already: compute(resume=True) continues them.
        check_results_folder(options, func, resume=True)
        self._session = Session(self._spec)
        with self._session.messages():
            for warning in warnings_about(self._spec):
                logger.warning(warning)

    # -- running --------------------------------------------------------------------------------

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
            Whether to run the calls one after the other in this process, where exceptions
            propagate unchanged and debuggers work. No workers are started.
        on_error : {"raise", "keep", "stop"}
            How to handle failed calls. "raise": run the others, then raise `ComputeError`.
            "keep": return `None` for them. "stop": raise `ComputeError` at once.
        retries : int
            Number of further attempts for a failed call.
        seed : int, optional
            Seed of the calls' generators, their argument ``rng``; drawn and recorded by default.
        resume : bool
            Whether to continue an earlier run in the same ``output_dir``: only calls without a
            result run. Without an earlier run, all calls run.

        Returns
        -------
        list or None
            One element per call: the name of the file, or the value for results in memory; with
            ``result_shape``, values are stacked in the first element. `None` if the user declines
            after a dry run.

        Raises
        ------
        ComputeError
            If calls fail; the results of all others are kept.
        UnpicklableError
            If the function or a shared argument cannot be sent to the workers.
        OSError
            If the output directory already holds results of this function.
        """
        return self._session.compute(ComputeOptions(debug, on_error, retries, seed, resume))

    def as_completed(
        self,
        debug: bool = False,
        *,
        on_error: str = "raise",
        retries: int = 0,
        seed: int | None = None,
        resume: bool = False,
    ) -> Generator[EndedCall, None, None]:
        """Run all calls, and yield each one as it ends.

        A call is yielded once, with its last attempt, as soon as this process learns that it has
        ended: short calls travel in batches, and are reported twice a second. Results in memory are
        not kept, so that memory does not grow with their number.

        Leaving the loop (``break``, an exception, Ctrl-C) ends the run as Ctrl-C ends `compute`:
        calls that have ended are kept, the container is completed, workers that were started for
        the run are stopped, and the message says how to resume. While the body of the loop runs,
        the workers go on with the batches that they have, at most two each.

        Parameters
        ----------
        debug, seed
            As for `compute`. With ``debug``, a call runs when the loop asks for it.
        on_error : {"raise", "keep", "stop"}
            How to handle failed calls, which are yielded like all others. "raise": raise
            `ComputeError` after the last call. "keep": do not raise. "stop": begin no further call
            after the first failure, and raise `ComputeError` after those that have ended.
        retries : int
            Number of further attempts for a failed call.
        resume : bool
            Whether to continue an earlier run in the same ``output_dir``. The calls that it has
            finished are yielded first, in order.

        Yields
        ------
        acme_io.Call
            A call as in `results`, with ``index``, ``status`` ("done", "failed"), ``values``,
            ``failure``, ``arguments`` and ``record``. Its values are read from disk when they are
            asked for; with results in memory, an object of the same interface holds them.

        Raises
        ------
        ComputeError
            After the last call, if calls failed. Its ``results`` are `None`.
        UnpicklableError, OSError
            As for `compute`, when the first call is asked for.

        Examples
        --------
        >>> from acme_core import ParallelMap
        >>> def invert(x):
        ...     return 1 / x
        >>> with ParallelMap(invert, [1, 2, 4], write_worker_results=False, verbose=False) as pmap:
        ...     found = {call.index: call.values for call in pmap.as_completed()}
        >>> sorted(found.items())
        [(0, 1.0), (1, 0.5), (2, 0.25)]
        """
        return self._session.as_completed(ComputeOptions(debug, on_error, retries, seed, resume))

    def report(self, target: str | os.PathLike[str] | None = None) -> str:
        """Write a self-contained HTML page about the last `compute` with results on disk.

        Parameters
        ----------
        target : str or path-like, optional
            Name of the file; by default beside the results.

        Returns
        -------
        str
            Name of the file.

        Raises
        ------
        RuntimeError
            Before a `compute` with results on disk.
        OSError
            If the page cannot be written.
        """
        run = self._session.run
        place = None if run is None else run.container or run.output_dir
        if place is None:
            raise RuntimeError(
                "<ParallelMap> nothing to report yet: a report is about results on disk. "
                "Call compute() first, without write_worker_results=False."
            )
        from acme_io import write_report

        return str(write_report(place, target))

    def cleanup(self) -> None:
        """Stop the workers started by this object, or all workers if ``stop_client=True``."""
        self._session.end()

    def __enter__(self) -> ParallelMap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cleanup()

    # -- the last run ---------------------------------------------------------------------------

    @property
    def client(self) -> Client | None:
        """The dask client in use."""
        return self._session.client

    @property
    def n_workers(self) -> int | None:
        """Number of workers of the last `compute`."""
        return self._session.n_workers

    @property
    def n_inputs(self) -> int:
        """Number of calls."""
        return self._spec.distribution.n_calls

    @property
    def output_dir(self) -> str | None:
        """Folder of the results: that of the last `compute`, or the one given."""
        if self._session.run is not None:
            return self._session.run.output_dir
        return None if self._spec.options.output_dir is None else str(self._spec.options.output_dir)

    @property
    def results_container(self) -> str | None:
        """Name of the container of the last `compute`."""
        run = self._session.run
        return None if run is None else run.container

    @property
    def logfile(self) -> str | None:
        """Name of the file with the messages of the last `compute`."""
        run = self._session.run
        return None if run is None else run.logfile

    @property
    def failures(self) -> dict[int, Failure]:
        """The failed calls of the last `compute`."""
        run = self._session.run
        return {} if run is None else dict(run.call_states.failures)

    @property
    def results(self) -> Results | None:
        """The results of the last `compute` on disk, open for reading."""
        run = self._session.run
        return None if run is None else run.results()
