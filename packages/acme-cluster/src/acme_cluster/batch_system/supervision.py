"""Supervision of the jobs of one cluster: heartbeat, lost jobs, replacements.

One task in the event loop of the cluster, every two seconds:

    touch the heartbeat ─► jobs without a worker online ─► squeue, at growing intervals
                                                             │ ended for good
                           replace, while work waits ◄── record and warn

Only jobs of SLURM are replaced: nothing here can read the queue of another batch system.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import traceback
from pathlib import Path
from typing import Any, Protocol

from distributed import Status

from acme_cluster.batch_system.cluster_folder import HEARTBEAT, ClusterFolder
from acme_cluster.batch_system.job_polling import PollTimer, has_ended
from acme_cluster.batch_system.jobs import Plan
from acme_cluster.batch_system.submission import call
from acme_cluster.console.messages import shortened, shown_outside_calls
from acme_cluster.slurm import parse, query

__all__ = ["JobSupervisor", "SupervisedCluster"]

logger = logging.getLogger(__name__)

# Seconds between two passes. What a pass costs is local; `PollTimer` decides whether it also asks
# the controller.
_INTERVAL = 2.0

# Replacements per worker of the cluster before it is given up. A job that lives longer than
# `_GOOD_AFTER` seconds earns one back, so that a cluster used for days survives an occasional
# preemption while jobs that die at start-up do not fill the queue for ever.
_REPLACEMENTS = 3
_GOOD_AFTER = 600.0


class SupervisedCluster(Protocol):
    """The parts of a cluster that its supervisor uses."""

    status: Any
    scheduler: Any
    workers: dict[Any, Any]
    worker_spec: dict[Any, Any]
    folder: ClusterFolder
    job_plan: Plan

    def request_jobs(self, count: int) -> None:
        """Bring the cluster to this number of jobs."""


class JobSupervisor:
    """Finds the jobs that a cluster lost, and replaces them while work waits.

    Parameters
    ----------
    cluster : SupervisedCluster
        The cluster.
    logs : pathlib.Path
        Folder of the jobs' output files.

    Attributes
    ----------
    deaths : list of str
        One sentence for each lost job, oldest first.
    given_up : str or None
        Why no job is replaced any more.
    any_online : bool
        Whether a worker of this cluster has ever been online.
    """

    def __init__(self, cluster: SupervisedCluster, logs: Path) -> None:
        self.deaths: list[str] = []
        self.given_up: str | None = None
        self.any_online = False
        self._cluster = cluster
        self._logs = logs
        self._most_replacements = _REPLACEMENTS * cluster.job_plan.n_workers
        self._replacements_left = self._most_replacements
        self._poll = PollTimer(_INTERVAL)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task. Call it in the event loop of the cluster."""
        # The loop keeps only a weak reference to a task: without this one it could be collected.
        self._task = asyncio.ensure_future(self.run())

    def stop(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Supervise the jobs until the cluster no longer runs."""
        last_beat, warned = -math.inf, set[object]()
        while self._cluster.status == Status.running:
            await asyncio.sleep(_INTERVAL)
            try:
                if time.monotonic() - last_beat > HEARTBEAT:
                    self._cluster.folder.beat()
                    last_beat = time.monotonic()
                await self._replace_lost()
            except OSError as error:
                # A controller that does not answer now may do so in a minute; running jobs do not
                # depend on it.
                logger.debug("The jobs could not be checked: %s", error)
            except Exception as error:
                # Nothing awaits this task: any other exception would end the heartbeat unseen, and
                # ten minutes later jobs on other nodes would take their client for dead.
                # Its text may differ each time (addresses of objects): one warning for each place.
                frame = traceback.extract_tb(error.__traceback__)[-1]
                place = (type(error), frame.filename, frame.lineno)
                if place not in warned:
                    warned.add(place)
                    with shown_outside_calls():
                        logger.warning(
                            "<%s> WARNING: Checking the jobs failed, trying again: %s",
                            self._cluster.job_plan.caller,
                            "".join(traceback.format_exception_only(error)).strip(),
                            exc_info=True,
                        )

    async def _replace_lost(self) -> None:
        if self._cluster.job_plan.site.system != "slurm":
            return
        missing = self._missing()
        # `due` comes first: it also has to see that no job is missing any more.
        if self._poll.due(missing) and missing:
            queue = parse.parse_jobs(await self._squeue())
            # Jobs that SLURM requeued (preemption, node failure) come back by themselves.
            lost = {n: j for n, j in missing.items() if has_ended(queue.get(j.job_id))}
            for name, job in lost.items():
                await self._record_loss(name, job)
            if lost and not self._cluster.workers and not self.any_online:
                # Most likely the prologue or the Python environment fails on the nodes: new jobs
                # would fail in the same way.
                self.given_up = f"all jobs ended before a worker was online ({self.deaths[-1]})"
        jobs = len(self._cluster.worker_spec)
        if jobs < self._cluster.job_plan.n_workers and self._work_waits():
            self._replenish(jobs)

    def _missing(self) -> dict[Any, Any]:
        """Return the submitted jobs that have no worker online, and note when others had one."""
        online = {str(state.name) for state in self._cluster.scheduler.workers.values()}
        missing = {}
        # A copy: dask changes the mapping in the same loop whenever this coroutine waits.
        for name, job in list(self._cluster.workers.items()):
            # With several processes in a job its workers are called NAME-0, NAME-1 and so on.
            if any(worker == str(name) or worker.startswith(f"{name}-") for worker in online):
                job.seen_online = job.seen_online or time.monotonic()
            elif job.job_id:
                missing[name] = job
        return missing

    def _work_waits(self) -> bool:
        # Three places of dask's scheduler: tasks sent to workers, tasks held back because all
        # workers are saturated, and tasks for which there is no worker at all.
        scheduler = self._cluster.scheduler
        busy = any(worker.processing for worker in scheduler.workers.values())
        return bool(busy or scheduler.queued or scheduler.unrunnable)

    async def _squeue(self) -> str:
        # All jobs of the user: given the id of a job that it has forgotten, squeue fails.
        command = ["squeue", "--all", "--noheader", "--me", "--format=%i|%T|%r"]
        return await call(command)

    async def _record_loss(self, name: Any, job: Any) -> None:
        # In a thread: two commands of up to 30 s each, and the scheduler shares this loop.
        ending = await asyncio.get_running_loop().run_in_executor(
            None, query.end_of_job, job.job_id
        )
        lived = time.monotonic() - job.seen_online if job.seen_online else 0.0
        if lived > _GOOD_AFTER:
            self._replacements_left = min(self._replacements_left + 1, self._most_replacements)
        ending += self._last_output_line(job.job_id)
        self.deaths.append(f"job {job.job_id}: {ending}")
        # Out of both mappings: dask-jobqueue starts only jobs that are in the second and not in the
        # first.
        self._cluster.workers.pop(name, None)
        self._cluster.worker_spec.pop(name, None)
        with shown_outside_calls():
            logger.warning(
                "<%s> WARNING: A worker was lost: job %s, %s",
                self._cluster.job_plan.caller,
                job.job_id,
                ending,
            )

    def _last_output_line(self, job: str) -> str:
        """Quote the last line that a job printed, standard error first."""
        for kind in ("err", "out"):
            # A job that never started has no file, and a log folder of the user's own may not be
            # shared with this host.
            with contextlib.suppress(OSError):
                text = (self._logs / f"acme-{job}.{kind}").read_text(errors="replace")
                if lines := [line.strip() for line in text.splitlines() if line.strip()]:
                    return f"; its last output: {shortened(lines[-1])}"
        return ""

    def _replenish(self, jobs: int) -> None:
        count = min(self._cluster.job_plan.n_workers - jobs, self._replacements_left)
        if count > 0:
            self._replacements_left -= count
            self._cluster.request_jobs(jobs + count)
        elif self.given_up is None:
            self.given_up = f"workers died again and again ({self.deaths[-1]})"
            with shown_outside_calls():
                logger.error(
                    "<%s> ERROR: No more workers are started: %s. The output of the jobs is in %s",
                    self._cluster.job_plan.caller,
                    self.given_up,
                    self._logs,
                )
