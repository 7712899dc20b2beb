"""One run: its identity, its files, its log, and what is left when it ends."""

from __future__ import annotations

import datetime
import getpass
import logging
import os
import platform
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acme_core.distribution import Distribution
from acme_core.ledger import Ledger
from acme_core.outdir import new_output_dir
from acme_core.signatures import function_module, function_name
from acme_core.work import Work
from acme_io.backend import RunInfo, RunStore, clean_name, describe

if TYPE_CHECKING:
    from acme_io import Results

LOGGERS = ("acme_core", "acme_cluster", "acme_io")
_LOGGED_TRACEBACKS = 100


def draw_seed() -> int:
    """Draw the seed of a run that was given none, of the size that NumPy draws: 128 bits."""
    return secrets.randbits(128)


def describe_run(work: Work, seed: int) -> RunInfo:
    """Collect who computes what, when and with what."""
    func, options = work.func, work.options
    return RunInfo(
        run_id=secrets.token_hex(8),
        function=function_name(func),
        module=function_module(func),
        n_calls=work.distribution.n_calls,
        started=time.time(),
        host=platform.node(),
        pid=os.getpid(),
        user=_user(),
        versions=_versions(),
        options=options.on_record(),
        seed=seed,
        shared=_described_shared(work.distribution) if options.write_worker_results else {},
    )


def _described_shared(distribution: Distribution) -> dict[str, Any]:
    template = distribution.template
    return {template.names[place]: describe(v) for place, v in template.shared.items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user that the machine does not know
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("acme_core", "acme_io", "acme_cluster", "numpy", "h5py", "distributed"):
        module = sys.modules.get(name)
        if module is not None:
            versions[name] = str(getattr(module, "__version__", ""))
    return versions


def _record(message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.ERROR, __file__, 0, message, None, None)


class Run:
    """One evaluation of all calls.

    Parameters
    ----------
    work : Work
        What is to be computed, and where results go.
    seed : int or None
        Of the generators of the calls; drawn, or taken from the earlier run, where it is `None`.
    resume : bool
        Whether to go on with the run that is in the output directory.

    Raises
    ------
    OSError
        If the output directory cannot be used, or holds results of this function.
    ValueError
        If the run to be resumed was another one.
    """

    def __init__(self, work: Work, seed: int | None, *, resume: bool = False) -> None:
        options, seed_given = work.options, seed is not None
        self.info = describe_run(work, draw_seed() if seed is None else seed)
        self.name = clean_name(self.info.function)
        self.store: RunStore | None = None
        self._log: logging.Handler | None = None
        self._resumed = False
        if options.write_worker_results:
            folder = options.output_dir or new_output_dir()
            earlier = None
            if resume:
                from acme_core.resuming import find_resumption

                earlier = find_resumption(
                    folder,
                    self.name,
                    self.info,
                    options.storage,
                    work.distribution,
                    seed_given=seed_given,
                )
            if earlier is None:
                self.store = RunStore.create(folder, self.name, options.storage, self.info)
            else:
                self.info, self._resumed = earlier.info, True
                self.store = RunStore.resume(
                    folder, self.name, options.storage, self.info, earlier.done
                )
        self.logfile = self._open_log(options.logfile)
        self.ledger = Ledger(self.n_calls, self.store, options.slots)

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
        """Folder of the results, `None` in memory."""
        return None if self.store is None else str(self.store.output_dir)

    @property
    def container(self) -> str | None:
        """Name of the container, `None` where there is none."""
        if self.store is None or self.store.container is None:
            return None
        return str(self.store.container)

    def results(self) -> Results | None:
        """Open what was written for reading."""
        if self.store is None:
            return None
        from acme_io import open_results

        return open_results(self.store.container or self.store.output_dir, allow_pickle=True)

    def get_ready(self) -> None:
        """Import what it takes to accept results, while nothing else is to do."""
        if self.store is not None:
            self.store.get_ready()

    def finish(self) -> None:
        """Write the record, and the container over what there is."""
        if self.store is not None:
            self.ledger.adopt()
            self.store.finish()

    def log_failures(self) -> None:
        """Write the tracebacks to the log, each text once."""
        if self._log is None:
            return
        said: set[str] = set()
        for call, failure in sorted(self.ledger.failures.items()):
            if failure.traceback not in said and len(said) < _LOGGED_TRACEBACKS:
                said.add(failure.traceback)
                self._log.emit(_record(f"<ParallelMap> ERROR: call {call}\n{failure.traceback}"))

    def close(self, *, discard: bool = False) -> None:
        """Give back the output directory; ``discard`` removes what the run wrote there."""
        if self._log is not None:
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(self._log)
            self._log.close()
            self._log = None
            if discard and self.logfile is not None and os.path.exists(self.logfile):
                os.unlink(self.logfile)
        if self.store is not None:
            # What an earlier run has computed is not ours to discard.
            self.store.close(discard=discard and not self._resumed)

    def _open_log(self, wanted: Any) -> str | None:
        if wanted is False or (wanted is None and self.store is None):
            return None
        if wanted is None or wanted is True:
            folder = self.store.output_dir if self.store is not None else Path.cwd()
            stamp = datetime.datetime.fromtimestamp(self.info.started)
            wanted = folder / f"{self.name}_{stamp:%Y%m%d-%H%M%S-%f}.log"
        try:
            self._log = logging.FileHandler(wanted, encoding="utf-8", delay=False)
        except OSError:
            if self.store is not None:
                self.store.close(discard=True)
            raise
        self._log.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._log)
        return str(wanted)
