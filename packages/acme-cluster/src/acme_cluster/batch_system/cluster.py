"""Clusters whose workers are jobs of a batch system, on dask-jobqueue.

    Plan ──► job class (dask-jobqueue's header, our worker command) ──► job script
      └────► BatchWorkers: scheduler in this process, one job per worker
                 │ while it runs: supervision (heartbeat, lost jobs, replacements)
                 └ close: cancel all jobs with one command, stop the scheduler, remove the keys

dask-jobqueue describes and submits jobs. Added here: keys in a private folder, a worker command of
our own, an environment without the variables of a surrounding job, the replacement of lost workers,
and an end that leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import dask
from distributed import Status
from distributed.deploy.cluster import Cluster

from acme_cluster.batch_system.cluster_folder import ClusterFolder, remove_abandoned, shared_base
from acme_cluster.batch_system.jobs import Plan, job_class, job_options, jobqueue
from acme_cluster.batch_system.submission import Gate
from acme_cluster.batch_system.supervision import JobSupervisor
from acme_cluster.console.dask_logging import DASK_AND_LOOP, silence_the_end, silenced
from acme_cluster.errors import CommandError, SlurmUnavailableError
from acme_cluster.internals.scheduler import QuietScheduler
from acme_cluster.internals.tls import cluster_security, lighten_accepting
from acme_cluster.keys import make_keys
from acme_cluster.lifetime import signals
from acme_cluster.lifetime.dask_config import calm
from acme_cluster.slurm import explain, query

__all__ = ["BatchWorkers", "start_cluster"]

logger = logging.getLogger(__name__)

# Seconds that a running submission gets to finish when the cluster ends: sbatch takes well under a
# second, or nine while its controller is away, which is too long to wait for at the end.
_SUBMISSION_GRACE = 3.0


class BatchWorkers:
    """A cluster of jobs; mixed into dask-jobqueue's cluster class of the batch system.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Attributes
    ----------
    job_plan : Plan
        The jobs as planned.
    folder : ClusterFolder
        The folder of this cluster, with its keys.
    """

    # Set by dask's classes, which come after this one in the method resolution order.
    loop: Any
    status: Any
    scheduler: Any
    workers: dict[Any, Any]
    worker_spec: dict[Any, Any]

    def __init__(self, plan: Plan) -> None:
        self.job_plan = plan
        self._gate = Gate()
        self._quiet = contextlib.ExitStack()
        # Both templates are filled in before anything is made: a wrong one raises here.
        base = shared_base(plan.site.path(plan.site.shared_directory))
        log_directory = plan.site.path(plan.site.log_directory)
        remove_abandoned(base)
        keys = make_keys()
        self.folder = ClusterFolder.create(base, keys)
        try:
            self._logs = self.folder.logs(log_directory)
        except BaseException:
            self.folder.remove()
            raise
        self._supervisor = JobSupervisor(self, self._logs)
        self._quiet.enter_context(silenced(logging.CRITICAL))
        silence_the_end()
        lighten_accepting()
        options = {
            "dashboard": False,
            # The loss of a worker reaches the client at once, as KilledWorker, and the client
            # decides what to run again. By default dask would repeat a task three times.
            "allowed_failures": 0,
            "port": plan.site.scheduler_port,
            "protocol": "tls://",
            "local_directory": str(self.folder.path / "scheduler"),
        }
        # distributed locks its scratch folders to find those of dead processes. Locks on a shared
        # file system can hang, and no other cluster uses this folder.
        settings = {"distributed.worker.use-file-locking": False, **calm()}
        try:
            with dask.config.set(settings):
                super().__init__(  # type: ignore[call-arg]
                    # No jobs yet: they are requested below, when this object is complete.
                    n_workers=0,
                    job_cls=job_class(plan.site.system),
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
        self.request_jobs(plan.n_workers)
        self.loop.add_callback(self._supervisor.start)

    def request_jobs(self, count: int) -> None:
        """Bring the cluster to this number of jobs.

        Parameters
        ----------
        count : int
            Jobs, not worker processes: dask-jobqueue's `scale(n)` would count the latter.
        """
        scale: Any = self.scale  # type: ignore[attr-defined]
        scale(jobs=count)

    def _get_worker_security(self, _security: object) -> None:
        """Write no keys into the current folder, as dask-jobqueue 0.9 would; jobs have `folder`."""

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Skips SpecCluster's method, which after `deploy.lost-worker-timeout` (15 s) closes a job
        # whose worker is away, also a requeued one, and replaces nothing.
        Cluster._update_worker_status(self, op, msg)  # type: ignore[arg-type]
        if op == "add":
            self._supervisor.any_online = True

    # ----- state of the jobs

    def job_ids(self) -> list[str]:
        """Return the ids of all jobs that were submitted and not replaced.

        Returns
        -------
        list of str
            In no particular order.
        """
        return [job.job_id for job in list(self.workers.values()) if job.job_id]

    def online(self) -> int:
        """Return the number of connected workers.

        Returns
        -------
        int
            Worker processes, not jobs.
        """
        return len(self.scheduler.workers) if self.scheduler is not None else 0

    @property
    def deaths(self) -> list[str]:
        """One sentence for each lost job, oldest first."""
        return self._supervisor.deaths

    @property
    def private_folder(self) -> str:
        """Folder of this user alone that is removed with the jobs, however this process ends."""
        return str(self.folder.path)

    @property
    def refused(self) -> str | None:
        """Why no more workers will come; None while some may."""
        return self._supervisor.given_up or self._gate.refusal

    @property
    def still_growing(self) -> bool:
        """Whether jobs wait, or run with their workers not online yet."""
        return self.status == Status.running and self.refused is None and bool(self.job_ids())

    def why_waiting(self) -> str | None:
        """Return why jobs are not running.

        Returns
        -------
        str or None
            SLURM's reasons, explained; None if no job waits, or if the reason is unknown.
        """
        if self.refused is not None:
            return self.refused
        if self.job_plan.site.system != "slurm":
            return None
        try:
            states = query.job_states(self.job_ids())
        except (CommandError, SlurmUnavailableError) as error:
            return str(error).splitlines()[0]
        waiting = [state.reason for state in states.values() if state.state == "PENDING"]
        # A set: the jobs of one plan are alike, and most of them wait for the same reason.
        reasons = sorted({explain.explain(reason, self.job_plan.limits) for reason in waiting})
        return "; ".join(reasons) or None

    def hopeless(self) -> bool:
        """Return whether the jobs were refused, or wait for a reason that never passes by itself.

        Returns
        -------
        bool
            True if waiting longer cannot help.
        """
        if self.refused is not None:
            return True
        # `explain` puts SLURM's own word in front of the colon.
        reason = self.why_waiting() or ""
        return reason.partition(":")[0] in explain.HOPELESS

    # ----- the end

    @contextlib.contextmanager
    def quietly(self) -> Iterator[None]:
        """Silence dask while this cluster ends: its complaints about closed connections are noise.

        Yields
        ------
        None
            The loggers of dask and asyncio are silent inside.
        """
        with silenced(logging.CRITICAL + 1, DASK_AND_LOOP):
            yield

    def close(self, timeout: float | None = None) -> Any:
        """Cancel all jobs, stop the scheduler, remove the keys.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for the scheduler before the remaining steps.
        """
        if self.status == Status.closed:
            return None
        self._gate.open = False
        try:
            with self.quietly():
                # Jobs first and on their own: whatever fails later, no job stays in the queue. A
                # second Ctrl-C takes effect only after this step.
                with signals.uninterrupted():
                    self._cancel_jobs()
                    # Also now: once the scheduler is gone, the last job to end removes the folder.
                    self._keep_logs()
                return super().close(timeout)  # type: ignore[misc]
        finally:
            with signals.uninterrupted():
                # Again, for jobs whose submission was in flight during the first pass.
                self._cancel_jobs()
                self.status = Status.closed
                self._tidy_up()

    def _cancel_jobs(self) -> None:
        # SpecCluster fills `workers` only when all submissions of one `scale` are over; `_created`
        # has the jobs from the start.
        jobs = {id(job): job for job in [*self.workers.values(), *getattr(self, "_created", ())]}
        ids = [job.job_id for job in jobs.values() if job.job_id]
        if not ids:
            return
        # One command for all jobs, where dask-jobqueue runs one for each.
        command = shlex.split(next(iter(jobs.values())).cancel_command)
        try:
            query.run(*command, *ids)
        except (CommandError, SlurmUnavailableError) as error:
            # scancel fails if one of the jobs has ended already, after cancelling the others.
            logger.debug("Cancelling jobs: %s", error)
        for job in jobs.values():
            job.job_id = None

    async def _close(self) -> None:
        self._supervisor.stop()
        await self._gate.settle(_SUBMISSION_GRACE)
        if self.scheduler is not None and self.scheduler.status != Status.running:
            # It cannot be asked to stop; dask would try to connect for half a minute
            # (`distributed.comm.timeouts.connect`).
            self.shutdown_scheduler = False
        # The jobs are cancelled: dask has no worker to retire, which would take a round trip each.
        self.worker_spec = {}
        self.workers = {}
        # SpecCluster asserts that every job it created was closed by itself.
        with contextlib.suppress(AssertionError):
            await super()._close()  # type: ignore[misc]

    def _tidy_up(self) -> None:
        self._quiet.close()
        signals.release(self)
        # distributed puts the scheduler's `local_directory` on the path, and takes it off only if
        # it is still in front.
        scratch = str(self.folder.path)
        sys.path[:] = [entry for entry in sys.path if not entry.startswith(scratch)]
        self._keep_logs()
        self.folder.remove()

    def _keep_logs(self) -> None:
        # Only the output of lost jobs is worth keeping: it may say why they died.
        if self.deaths:
            self.folder.keep(self._logs)


def start_cluster(plan: Plan) -> Any:
    """Start a scheduler in this process and submit the jobs of a plan.

    Parameters
    ----------
    plan : Plan
        The jobs.

    Returns
    -------
    BatchWorkers
        Also an instance of dask-jobqueue's class, such as `SLURMCluster`. Its jobs may be pending.
    """
    # The class is made here because dask-jobqueue has one base class per batch system.
    prefix, base = jobqueue(plan.site.system, "Cluster")
    return type(f"{prefix}Workers", (BatchWorkers, base), {})(plan)
