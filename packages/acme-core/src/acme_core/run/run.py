"""One run from start to end: output directory, log file, call states, and clean-up."""

from __future__ import annotations

import datetime
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acme_core.run.calls.call_states import CallStates
from acme_core.run.calls.ended_calls import EndedCalls
from acme_core.run.results_folder import new_output_dir
from acme_core.run.run_info import describe_run, draw_seed
from acme_core.run.spec import RunSpec
from acme_io.backend import RunStore, clean_name

if TYPE_CHECKING:
    from acme_io import Results
    from acme_io.backend import Sink

# Loggers whose messages go to the log file of a run.
LOGGERS = ("acme_core", "acme_cluster", "acme_io")
# Different tracebacks to write to the log file; the record of the run holds all of them.
_LOGGED_TRACEBACKS = 100


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.ERROR, __file__, 0, message, None, None)


class Run:
    """One evaluation of all calls.

    Parameters
    ----------
    spec : RunSpec
        The function, its arguments, and the options.
    seed : int or None
        Seed of the calls' generators; `None` draws one, or uses that of the resumed run.
    resume : bool
        Whether to continue the run found in the output directory.
    as_completed : bool
        Whether calls are taken as they end.

    Attributes
    ----------
    info : acme_io.backend.RunInfo
        The record of the run.
    store : acme_io.backend.RunStore or None
        The files of the run; `None` for results in memory.
    call_states : CallStates
        The state of each call.
    ended : EndedCalls or None
        The calls that have ended, if they are taken as they end.
    logfile : str or None
        Name of the log file.
    discarded : bool
        Whether all files of the run were removed.
    paused : bool
        Whether the thread of the run is at something else: the body of a loop over its calls.

    Raises
    ------
    OSError
        If the output directory cannot be used, or holds results of this function.
    ValueError
        If the run to resume differs from this one.
    """

    def __init__(
        self,
        spec: RunSpec,
        seed: int | None,
        *,
        resume: bool = False,
        as_completed: bool = False,
    ) -> None:
        options = spec.options
        self.info = describe_run(spec, draw_seed() if seed is None else seed)
        self.name = clean_name(self.info.function)
        self.store: RunStore | None = None
        self.discarded = self.paused = False
        self._thread = threading.get_ident()
        self._log: logging.Handler | None = None
        self._resumed = False
        if options.write_worker_results:
            folder = options.output_dir or new_output_dir()
            self.store = self._open_store(folder, spec, resume=resume, seed_given=seed is not None)
        self.logfile = self._open_log(options.logfile)
        self.ended = None
        if as_completed:
            self.ended = EndedCalls(spec.distribution, self.store, options.slots)
        self.call_states = CallStates(self.n_calls, self.store, options.slots, self.ended)

    def _open_store(
        self, folder: Path, spec: RunSpec, *, resume: bool, seed_given: bool
    ) -> RunStore:
        storage = spec.options.storage
        if resume:
            from acme_core.run.resuming import find_resumption

            earlier = find_resumption(
                folder, self.name, self.info, storage, spec.distribution, seed_given=seed_given
            )
            if earlier is not None:
                self.info, self._resumed = earlier.info, True
                return RunStore.resume(folder, self.name, storage, self.info, earlier.done)
        return RunStore.create(folder, self.name, storage, self.info)

    @property
    def n_calls(self) -> int:
        """Number of calls."""
        return self.info.n_calls

    @property
    def seed(self) -> int:
        """Seed of the run."""
        assert self.info.seed is not None
        return self.info.seed

    @property
    def output_dir(self) -> str | None:
        """Folder of the results; `None` for results in memory."""
        return None if self.store is None else str(self.store.output_dir)

    @property
    def container(self) -> str | None:
        """Name of the container; `None` without one."""
        if self.store is None or self.store.container is None:
            return None
        return str(self.store.container)

    @property
    def sink(self) -> Sink | None:
        """The sink that workers write results to; `None` for results in memory."""
        return None if self.store is None else self.store.sink

    def results(self) -> Results | None:
        """Open the results for reading."""
        if self.store is None:
            return None
        from acme_io import open_results

        return open_results(self.store.container or self.store.output_dir, allow_pickle=True)

    def get_ready(self) -> None:
        """Import the modules that accept results, while the client waits for workers anyway."""
        if self.store is not None:
            self.store.get_ready()

    def finish(self) -> None:
        """Write the record and the container, with all calls that have ended."""
        if self.store is not None:
            self.call_states.recover_results()
            self.store.finish()
            self.call_states.warn_of_pickles()

    def log_failures(self) -> None:
        """Write the tracebacks to the log file, equal ones once."""
        if self._log is None:
            return
        # To the file only: the console shows the summary in `ComputeError`.
        logged: set[str] = set()
        for call, failure in sorted(self.call_states.failures.items()):
            if failure.traceback not in logged and len(logged) < _LOGGED_TRACEBACKS:
                logged.add(failure.traceback)
                self._log.emit(_record(f"<ParallelMap> ERROR: call {call}\n{failure.traceback}"))

    def close(self, *, discard: bool = False) -> None:
        """Close the log and release the output directory.

        With ``discard``, remove the files of the run, except those of a resumed run.
        """
        self.discarded = self.discarded or discard
        if self._log is not None:
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(self._log)
            self._log.close()
            self._log = None
            if discard and self.logfile is not None and os.path.exists(self.logfile):
                os.unlink(self.logfile)
        if self.store is not None:
            self.store.close(discard=discard and not self._resumed)

    def _open_log(self, wanted: Any) -> str | None:
        if wanted is False or (wanted is None and self.store is None):
            return None
        if wanted is None or wanted is True:
            folder = self.store.output_dir if self.store is not None else Path.cwd()
            stamp = datetime.datetime.fromtimestamp(self.info.started)
            wanted = folder / f"{self.name}_{stamp:%Y%m%d-%H%M%S-%f}.log"
        try:
            # Opened at once, to report a wrong name before workers start.
            self._log = logging.FileHandler(wanted, encoding="utf-8", delay=False)
        except OSError:  # the claim on the output directory must be released
            if self.store is not None:
                self.store.close(discard=True)
            raise
        self._log.addFilter(self._is_own)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._log)
        return str(wanted)

    def _is_own(self, record: logging.LogRecord) -> bool:
        """Whether a message is about this run, not about one that the body of its loop makes."""
        return not self.paused or record.thread != self._thread
