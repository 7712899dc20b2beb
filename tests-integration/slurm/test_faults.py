"""Lost workers, and clusters started from inside SLURM jobs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import lab
import pytest
from distributed import KilledWorker

from acme_cluster import cluster_cleanup, slurm_cluster_setup


def work(client: Any, numbers: range) -> list[int]:
    """Compute `numbers`; resubmit calls whose worker died."""

    def slow(number: int) -> int:
        # A local function is pickled by value; workers cannot import test modules.
        time.sleep(0.3)
        return number

    results: dict[int, int] = {}
    while len(results) < len(numbers):
        missing = [number for number in numbers if number not in results]
        futures = client.map(slow, missing, pure=False)
        for number, future in zip(missing, futures, strict=True):
            with contextlib.suppress(KilledWorker):
                results[number] = future.result(timeout=120)
    return [results[number] for number in numbers]


def test_cancelled_job_is_replaced_while_work_waits(sandbox: Any, until: Any, capsys: Any) -> None:
    client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="600MB", n_workers_startup=2)
    try:
        first = client.cluster.job_ids()
        waiting = client.map(time.sleep, [0.5] * 100, pure=False)
        lab.run("scancel", first[0])
        until(lambda: first[0] not in client.cluster.job_ids())
        until(lambda: len(client.cluster.scheduler.workers) == 2)
        client.cancel(waiting)
        assert work(client, range(4)) == [0, 1, 2, 3]
        assert "A worker was lost: job" in capsys.readouterr().err
        assert "cancelled" in client.cluster.deaths[0]
    finally:
        cluster_cleanup(client)
    assert list((sandbox.shared / "logs").rglob("*.out")), "the output of lost workers is kept"
    shutil.rmtree(sandbox.shared / "logs")


def test_requeued_job_rejoins_the_cluster(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB", job_extra=["--requeue"])
    try:
        (job,) = client.cluster.job_ids()
        assert work(client, range(1)) == [0]
        lab.run("scontrol", "requeue", job)
        until(lambda: not client.cluster.scheduler.workers)
        until(lambda: "PENDING" in lab.run("squeue", "-h", "-j", job, "-o", "%T"))
        until(lambda: not any("job_worker" in process for process in sandbox.processes()))
        # SLURM delays a requeued job by two minutes, so set its start time. A node rejects a job
        # that it killed within the same second, hence the 2 s.
        lab.run("scontrol", "update", f"jobid={job}", "StartTime=now+2")
        assert work(client, range(2)) == [0, 1]
        assert client.cluster.job_ids() == [job]
    finally:
        cluster_cleanup(client)


def test_jobs_that_fail_before_a_worker_is_online_are_reported(
    sandbox: Any,
) -> None:
    site = {"broken": {"prologue": ["echo no such module >&2", "exit 7"]}}
    with dask.config.set({"acme.sites": site}), pytest.raises(RuntimeError) as caught:
        slurm_cluster_setup("8GBXS", mem_per_worker="600MB", site="broken", timeout=60)
    assert "all jobs ended before a worker was online" in str(caught.value)
    assert "exit code 7" in str(caught.value)
    assert "no such module" in str(caught.value)
    shutil.rmtree(sandbox.shared / "logs")


def test_repeated_job_failures_stop_replacement_with_the_reason(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB")
    cluster = client.cluster
    seen = set()

    def given_up() -> bool:
        for job in set(cluster.job_ids()) - seen:
            seen.add(job)
            lab.run("scancel", job)
        if not futures or futures[-1].status == "error":
            futures.append(client.submit(time.sleep, 600, pure=False))
        return cluster.refused is not None

    futures: list[Any] = []
    try:
        until(given_up, 120)
        assert len(seen) == 4
        assert "died again and again" in cluster.refused
        assert "cancelled" in cluster.refused
    finally:
        cluster_cleanup(client)
    shutil.rmtree(sandbox.shared / "logs")


def test_node_failure_loses_no_results(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="600MB", n_workers_startup=2)
    try:
        node = lab.run("squeue", "-h", "-j", client.cluster.job_ids()[0], "-o", "%N").strip()
        futures = client.map(time.sleep, [0.2] * 20, pure=False)
        lab.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        until(lambda: any(future.done() for future in futures))
        client.cancel(futures)
        assert work(client, range(10)) == list(range(10))
    finally:
        cluster_cleanup(client)
        lab.start()
    until(lambda: not sandbox.jobs())
    shutil.rmtree(sandbox.shared / "logs", ignore_errors=True)


def test_work_continues_without_slurmctld(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="600MB", n_workers_startup=2)
    try:
        controller = next(daemon for daemon in lab.daemons() if daemon.name == "slurmctld")
        controller.stop()
        assert work(client, range(10)) == list(range(10))
        # Long enough for job polling to fail at least once.
        time.sleep(4)
        assert client.submit(abs, -1).result() == 1
        assert client.cluster.refused is None
        assert client.cluster.deaths == []
    finally:
        # Without slurmctld, nothing can cancel the jobs; they end when their scheduler is gone.
        cluster_cleanup(client)
        until(lambda: not sandbox.processes())
        lab.start()
    until(sandbox.empty)


INSIDE = """
import os
from acme_cluster import cluster_cleanup, slurm_cluster_setup

assert os.environ["SLURM_JOB_ID"]
client = slurm_cluster_setup("8GBS", 2, n_workers=2, mem_per_worker="700MB", n_workers_startup=2)
print(client.gather(client.map(pow, [2, 3], [2, 2], pure=False)))
os.system("squeue -h -n acme -o '%P %C %m'")
cluster_cleanup(client)
"""


def test_batch_job_submits_the_same_jobs_as_a_login_node(sandbox: Any, until: Any) -> None:
    script = sandbox.temp / "inside.sh"
    output = sandbox.temp / "inside.out"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} - <<'END'\n{INSIDE}END\n")
    lab_env = {**sandbox.env, "SBATCH_PARTITION": "ESI"}
    subprocess.run(
        [
            "sbatch", "--wait", "-p", "16GBXS", "--mem-per-cpu=900M", "-c", "3", "-t", "5",
            "-o", str(output), str(script),
        ],
        env=lab_env, cwd=sandbox.work, timeout=180, capture_output=True,
    )  # fmt: skip
    until(output.exists)
    text = output.read_text()
    assert "[4, 9]" in text, text
    assert text.count("8GBS 2 700M") == 2
    script.unlink()
    output.unlink()


def test_allocation_submits_the_same_jobs_as_a_login_node(sandbox: Any) -> None:
    done = subprocess.run(
        [
            "salloc", "-p", "16GBXS", "--mem-per-cpu=900M", "-c", "3", "-t", "5",
            sys.executable, "-c", INSIDE,
        ],
        env={**sandbox.env, "SLURM_PARTITION": "ESI", "SALLOC_PARTITION": "ESI"},
        cwd=sandbox.work, text=True, timeout=180, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[4, 9]" in done.stdout
    assert done.stdout.count("8GBS 2 700M") == 2


ESI = """
from acme_cluster import cluster_cleanup, detect_site, esi_cluster_setup

assert detect_site().name == "esi"
client = esi_cluster_setup("8GBXS", n_workers=2, n_workers_startup=2)
print(client.gather(client.map(pow, [2, 3], [2, 2], pure=False)))
import os
os.system("squeue -h -o '%P %C %m'")
cluster_cleanup(client)
try:
    esi_cluster_setup("E880")
except ValueError as error:
    print(error)
"""


def test_esi_site_is_detected_by_host_name(sandbox: Any) -> None:
    logs = Path("/cs/slurm")
    made = not logs.exists()
    logs.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [
                "unshare", "--uts", "sh", "-c", 'hostname esi-svhpc1; exec "$0" -c "$1"',
                sys.executable, ESI,
            ],
            env=sandbox.env, cwd=sandbox.work, text=True, capture_output=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "[4, 9]" in done.stdout
        assert done.stdout.count("8GBXS 4 8G") == 2
        assert "ppc64le" in done.stdout
        assert list(logs.glob("root/root_*"))
    finally:
        subprocess.run(["rm", "-rf", "/cs" if made else "/cs/slurm/root"], check=True)
