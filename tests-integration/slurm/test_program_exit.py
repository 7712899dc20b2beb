"""However a program ends, none of its jobs, processes, keys or folders remain."""

from __future__ import annotations

import signal
import time
from typing import Any

import lab
import pytest

from acme_cluster import cluster_cleanup, slurm_cluster_setup

PROGRAM = """
import sys, time
from acme_cluster import slurm_cluster_setup

client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="600MB", n_workers_startup=2)
busy = client.map(time.sleep, [100, 100], pure=False)
print("up", flush=True)
if sys.argv[1] == "exception":
    raise KeyError("mine")
while sys.argv[1] == "wait":
    # Short sleeps: CPython runs signal handlers only between bytecodes of the main thread.
    time.sleep(0.1)
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("exception", 1)])
def test_program_without_clean_up(sandbox: Any, until: Any, how: str, code: int) -> None:
    process = sandbox.start(PROGRAM, how)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "distributed" not in err
    if how == "exception":
        assert err.rstrip().endswith("KeyError: 'mine'")
    until(sandbox.empty)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGINT], -signal.SIGINT),
        ([signal.SIGINT, signal.SIGINT], -signal.SIGINT),
        ([signal.SIGTERM], 128 + signal.SIGTERM),
        ([signal.SIGHUP], 128 + signal.SIGHUP),
        ([signal.SIGKILL], -signal.SIGKILL),
    ],
    ids=lambda value: "+".join(s.name for s in value) if isinstance(value, list) else None,
)
def test_signals(sandbox: Any, until: Any, signals: list[signal.Signals], code: int) -> None:
    process = sandbox.start(PROGRAM, "wait")
    assert process.stdout.readline() == "up\n", process.communicate()[1]
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    process.communicate(timeout=60)
    assert process.returncode == code
    # After SIGKILL of the client, workers detect its loss and end within two minutes.
    until(sandbox.empty, 120)


def test_client_killed_while_jobs_are_pending(sandbox: Any, until: Any) -> None:
    program = PROGRAM.replace(
        "n_workers_startup=2", "job_extra=['--begin=now+1hour'], n_workers_startup=0"
    )
    process = sandbox.start(program, "wait")
    assert process.stdout.readline() == "up\n"
    until(lambda: len(sandbox.jobs()) == 2)
    process.kill()
    process.communicate()
    # Nothing can cancel these jobs now, but they end as soon as they start.
    for job in sandbox.jobs("%i"):
        lab.run("scontrol", "update", f"jobid={job}", "StartTime=now")
    until(sandbox.empty, 120)


def test_cleanup_twice_and_with_a_dead_scheduler(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB")
    client.cluster.sync(client.cluster.scheduler.close)
    cluster_cleanup(client)
    cluster_cleanup(client)
    cluster_cleanup()
    until(sandbox.empty)


def test_next_start_removes_the_keys_of_a_killed_client(sandbox: Any, until: Any) -> None:
    import os

    from acme_cluster.batch_system.cluster_folder import ClusterFolder
    from acme_cluster.keys import make_keys

    pid = os.fork()
    if pid == 0:
        ClusterFolder.create(sandbox.shared, make_keys())
        os._exit(0)
    os.waitpid(pid, 0)
    assert list(sandbox.shared.rglob("keys.pem"))
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB", n_workers_startup=0)
    assert len(list(sandbox.shared.rglob("keys.pem"))) == 1
    cluster_cleanup(client)
    until(sandbox.empty)
