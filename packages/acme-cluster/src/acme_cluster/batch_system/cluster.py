"""Clusters whose workers are jobs of a batch system, on dask-jobqueue.

    Plan ──► job class (dask-jobqueue's header, our worker command) ──► job_script()
      └────► BatchWorkers: scheduler here, one job a worker ──► upkeep: what became of jobs,
      replacements
                                      └──► close: one scancel for all jobs, then the scheduler, then
                                      the keys

dask-jobqueue knows how jobs are described and submitted. What is added here: keys in a private
folder, a worker command of our own, an environment without the traces of a surrounding job, the
replacement of workers that vanish, and an end that leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import dask
from distributed import Status
from distributed.deploy.cluster import Cluster

from acme_cluster.batch_system.cluster_folder import (
    HEARTBEAT,
    ClusterFolder,
    remove_abandoned,
    shared_base,
)
from acme_cluster.batch_system.job_polling import Looks, has_ended
from acme_cluster.batch_system.jobs import Plan, job_class, job_options, jobqueue
from acme_cluster.batch_system.submission import Gate, call
from acme_cluster.console.dask_logging import DASK_AND_LOOP, silence_the_end, silenced
from acme_cluster.console.messages import shortened, shown_outside_calls
from acme_cluster.errors import CommandError, SlurmUnavailableError
from acme_cluster.lifetime import signals
from acme_cluster.lifetime.dashboard import QuietScheduler
from acme_cluster.lifetime.dask_config import calm
from acme_cluster.security.keys import make_keys
from acme_cluster.security.tls import cluster_security, lighten_accepting
from acme_cluster.slurm import explain, parse, query

__all__ = ["BatchWorkers", "start_cluster"]

logger = logging.getLogger(__name__)

# How often a worker is replaced that dies again and again, and the time after which a worker that
# lived so long counts as a good one.
_TRIES = 3
_GOOD_AFTER = 600.0

_UPKEEP_INTERVAL = 2.0

# Seconds that a submission may take to end when the cluster does.
_GRACE = 3.0


class BatchWorkers:
    """A cluster of jobs; mixed into dask-jobqueue's cluster class of the batch system.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Attributes
    ----------
    job_plan : Plan
        As given.
    deaths : list of str
        What became of workers that vanished, in words, oldest first.
    """

    loop: Any
    workers: dict[Any, Any]
    worker_spec: dict[Any, Any]
    scheduler: Any

    def __init__(self, plan: Plan) -> None:
        self.job_plan = plan
        self.deaths: list[str] = []
        self._given_up: str | None = None
        self._came_online = False
        self._gate = Gate()
        self._looks = Looks(_UPKEEP_INTERVAL)
        self._budget = _TRIES * plan.n_workers
        self._upkeep: asyncio.Task[None] | None = None
        self._quiet = contextlib.ExitStack()
        base = shared_base(plan.shared_directory)
        remove_abandoned(base)
        keys = make_keys()
        self.folder = ClusterFolder.create(base, keys)
        self._logs = self.folder.logs(plan.log_directory)
        self._quiet.enter_context(silenced(logging.CRITICAL))
        silence_the_end()
        lighten_accepting()
        options = {
            "dashboard": False,
            "allowed_failures": 0,
            "port": plan.scheduler_port,
            "protocol": "tls://",
            "local_directory": str(self.folder.path / "scheduler"),
        }
        # Locks on a shared file system can hang, and nobody else uses this folder.
        settings = {"distributed.worker.use-file-locking": False, **calm()}
        try:
            with dask.config.set(settings):
                super().__init__(  # type: ignore[call-arg]
                    n_workers=0,
                    job_cls=job_class(plan.system),
                    security=cluster_security(keys),
                    silence_logs="critical",
                    scheduler_options=options,
                    scheduler_cls=QuietScheduler,
                    protocol="tls://",
                    plan=plan,
                    folder=self.folder.path,
                    gate=self._gate,
                    **job_options(plan, str(self._logs)),
                )
        except BaseException:
            self._tidy_up()
            raise
        signals.guard(self)
        self._ask_for(plan.n_workers)
        self.loop.add_callback(self._start_upkeep)

    def _ask_for(self, jobs: int) -> None:
        scale: Any = self.scale  # type: ignore[attr-defined]
        scale(jobs=jobs)

    def _get_worker_security(self, _security: object) -> None:
        """Write no keys into the current folder: they are in the cluster's own."""

    # ----- what became of the jobs

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs that were submitted and not replaced.

        Returns
        -------
        list of str
            In no order.
        """
        return [job.job_id for job in list(self.workers.values()) if job.job_id]

    def online(self) -> int:
        """Count the workers that have connected.

        Returns
        -------
        int
            Worker processes.
        """
        return len(self.scheduler.workers) if self.scheduler is not None else 0

    @property
    def private_folder(self) -> str:
        """Folder of this user alone that is removed with the jobs, however this process ends."""
        return str(self.folder.path)

    @property
    def refused(self) -> str | None:
        """Why there will be no more workers; None as long as there may be."""
        return self._given_up or self._gate.refusal

    @property
    def still_growing(self) -> bool:
        """Whether there are jobs that wait or run without being online yet."""
        return self.status == Status.running and self.refused is None and bool(self.job_ids())

    status: Any

    def why_waiting(self) -> str | None:
        """Say why jobs are not running.

        Returns
        -------
        str or None
            The reasons that SLURM gives, in words; None if no job waits, or nothing is known.
        """
        if self.refused is not None:
            return self.refused
        if self.job_plan.system != "slurm":
            return None
        try:
            states = query.job_states(self.job_ids())
        except (CommandError, SlurmUnavailableError) as error:
            return str(error).splitlines()[0]
        waiting = [state.reason for state in states.values() if state.state == "PENDING"]
        words = sorted({explain.explain(reason, self.job_plan.limits) for reason in waiting})
        return "; ".join(words) or None

    def hopeless(self) -> bool:
        """Tell whether jobs were refused, or wait for what will not happen by itself.

        Returns
        -------
        bool
            True if waiting is of no use.
        """
        if self.refused is not None:
            return True
        reason = self.why_waiting() or ""
        return reason.partition(":")[0] in explain.HOPELESS

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's: it cancels a job whose worker is away for a moment, and replaces
        # nothing.
        Cluster._update_worker_status(self, op, msg)  # type: ignore[arg-type]
        if op == "add":
            self._came_online = True

    def _start_upkeep(self) -> None:
        self._upkeep = asyncio.ensure_future(self._look_after())

    async def _look_after(self) -> None:
        beat, told = 0.0, set[object]()
        while self.status == Status.running:
            await asyncio.sleep(_UPKEEP_INTERVAL)
            try:
                if time.monotonic() - beat > HEARTBEAT:
                    self.folder.beat()
                    beat = time.monotonic()
                await self._replace_lost()
            except OSError as error:
                # A controller that does not answer now may do so in a minute; jobs run on
                # meanwhile.
                logger.debug("Jobs could not be looked at: %s", error)
            except Exception as error:
                # Nothing awaits this task: any other exception would end the heartbeat unseen, and
                # ten minutes later jobs on other nodes would take their client for dead.
                # Texts may differ each time (addresses of objects): one warning a place.
                frame = traceback.extract_tb(error.__traceback__)[-1]
                place = (type(error), frame.filename, frame.lineno)
                if place not in told:
                    told.add(place)
                    with shown_outside_calls():
                        logger.warning(
                            "<%s> WARNING: Looking after the jobs failed, trying again: %s",
                            self.job_plan.caller,
                            "".join(traceback.format_exception_only(error)).strip(),
                            exc_info=True,
                        )

    def _missing(self) -> dict[Any, Any]:
        online = {str(state.name) for state in self.scheduler.workers.values()}
        missing = {}
        for name, job in list(self.workers.items()):
            if any(worker == str(name) or worker.startswith(f"{name}-") for worker in online):
                job.seen_online = job.seen_online or time.monotonic()
            elif job.job_id:
                missing[name] = job
        return missing

    async def _replace_lost(self) -> None:
        if self.job_plan.system != "slurm":
            return
        missing = self._missing()
        if self._looks.due(missing) and missing:
            queue = parse.parse_jobs(await self._squeue())
            # Jobs that SLURM has put back into its queue come back by themselves.
            lost = {n: j for n, j in missing.items() if has_ended(queue.get(j.job_id))}
            for name, job in lost.items():
                await self._bury(name, job)
            if lost and not self.workers and not self._came_online:
                self._given_up = f"all jobs ended before a worker was online ({self.deaths[-1]})"
        if len(self.worker_spec) < self.job_plan.n_workers and self._work_waits():
            self._replenish()

    def _work_waits(self) -> bool:
        scheduler = self.scheduler
        busy = any(worker.processing for worker in scheduler.workers.values())
        return bool(busy or scheduler.queued or scheduler.unrunnable)

    async def _squeue(self) -> str:
        command = ["squeue", "--all", "--noheader", "--me", "--format=%i|%T|%r"]
        return await call(command)

    async def _bury(self, name: Any, job: Any) -> None:
        ending = await asyncio.get_running_loop().run_in_executor(
            None, query.end_of_job, job.job_id
        )
        lived = time.monotonic() - job.seen_online if job.seen_online else 0.0
        if lived > _GOOD_AFTER:
            self._budget = min(self._budget + 1, _TRIES * self.job_plan.n_workers)
        ending += self._last_words(job.job_id)
        self.deaths.append(f"job {job.job_id}: {ending}")
        self.workers.pop(name, None)
        self.worker_spec.pop(name, None)
        with shown_outside_calls():
            logger.warning(
                "<%s> WARNING: A worker was lost: job %s, %s",
                self.job_plan.caller,
                job.job_id,
                ending,
            )

    def _last_words(self, job: str) -> str:
        """Quote the last line that a job printed."""
        for kind in ("err", "out"):
            with contextlib.suppress(OSError):
                text = (self._logs / f"acme-{job}.{kind}").read_text(errors="replace")
                if lines := [line.strip() for line in text.splitlines() if line.strip()]:
                    return f"; the last it printed: {shortened(lines[-1])}"
        return ""

    def _replenish(self) -> None:
        count = min(self.job_plan.n_workers - len(self.worker_spec), self._budget)
        if count > 0:
            self._budget -= count
            self._ask_for(len(self.worker_spec) + count)
        elif self._given_up is None:
            self._given_up = f"workers died again and again ({self.deaths[-1]})"
            with shown_outside_calls():
                logger.error(
                    "<%s> ERROR: No more workers are started: %s. What the jobs printed is in %s",
                    self.job_plan.caller,
                    self._given_up,
                    self._logs,
                )

    # ----- the end

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Silence dask while this cluster ends: that connections close is what is wanted."""
        with silenced(logging.CRITICAL + 1, DASK_AND_LOOP):
            yield

    def close(self, timeout: float | None = None) -> Any:
        """Cancel all jobs, stop the scheduler, remove the keys.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to go on with the rest.
        """
        if self.status == Status.closed:
            return None
        self._gate.open = False
        try:
            with self.quietly():
                # First and by itself: whatever fails later, no job stays in the queue. A second
                # Ctrl-C waits.
                with signals.uninterrupted():
                    self._cancel_jobs()
                    # Now: without a scheduler the last job that ends removes the whole folder.
                    self._keep_logs()
                return super().close(timeout)  # type: ignore[misc]
        finally:
            with signals.uninterrupted():
                # Jobs whose submission was under way at the first look.
                self._cancel_jobs()
                self.status = Status.closed
                self._tidy_up()

    def _cancel_jobs(self) -> None:
        jobs = {id(job): job for job in [*self.workers.values(), *getattr(self, "_created", ())]}
        ids = [job.job_id for job in jobs.values() if job.job_id]
        if not ids:
            return
        command = shlex.split(next(iter(jobs.values())).cancel_command)
        try:
            query.run(*command, *ids)
        except (CommandError, SlurmUnavailableError) as error:
            # scancel complains about jobs that have ended; only those that are still there matter.
            logger.debug("Cancelling jobs: %s", error)
        for job in jobs.values():
            job.job_id = None

    async def _close(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
        await self._gate.settle(_GRACE)
        if self.scheduler is not None and self.scheduler.status != Status.running:
            self.shutdown_scheduler = False
        # The jobs are cancelled: there is no worker to retire in order.
        self.worker_spec = {}
        self.workers = {}
        with contextlib.suppress(AssertionError):
            await super()._close()  # type: ignore[misc]

    def _tidy_up(self) -> None:
        self._quiet.close()
        signals.release(self)
        scratch = str(self.folder.path)
        sys.path[:] = [entry for entry in sys.path if not entry.startswith(scratch)]
        self._keep_logs()
        self.folder.remove()

    def _keep_logs(self) -> None:
        if self.deaths:
            # Somebody will want to know why.
            self.folder.keep(self._logs)


def start_cluster(plan: Plan) -> Any:
    """Start a scheduler here and submit the jobs of a plan.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Returns
    -------
    BatchWorkers
        A cluster that is also dask-jobqueue's; its jobs may still be waiting.
    """
    prefix, base = jobqueue(plan.system, "Cluster")
    return type(f"{prefix}Workers", (BatchWorkers, base), {})(plan)
