"""Whatever ends a program, no job, process, key or folder of it stays."""

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
    # Short naps: Python sees a signal that came while a thread had its lock only after the next.
    time.sleep(0.1)
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("exception", 1)])
def test_ends_of_programs_that_forget_to_clean_up(
    place: Any, until: Any, how: str, code: int
) -> None:
    process = place.start(PROGRAM, how)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "distributed" not in err
    if how == "exception":
        assert err.rstrip().endswith("KeyError: 'mine'")
    until(place.empty)


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
def test_signals(place: Any, until: Any, signals: list[signal.Signals], code: int) -> None:
    process = place.start(PROGRAM, "wait")
    assert process.stdout.readline() == "up\n", process.communicate()[1]
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    process.communicate(timeout=60)
    assert process.returncode == code
    # After SIGKILL the workers find out by themselves, which may take two minutes.
    until(place.empty, 120)


def test_client_killed_while_jobs_wait_in_the_queue(place: Any, until: Any) -> None:
    program = PROGRAM.replace(
        "n_workers_startup=2", "job_extra=['--begin=now+1hour'], n_workers_startup=0"
    )
    process = place.start(program, "wait")
    assert process.stdout.readline() == "up\n"
    until(lambda: len(place.jobs()) == 2)
    process.kill()
    process.communicate()
    # Nobody can take them out of the queue now. When their turn comes they end at once.
    for job in place.jobs("%i"):
        lab.run("scontrol", "update", f"jobid={job}", "StartTime=now")
    until(place.empty, 120)


def test_cleanup_twice_and_with_a_dead_scheduler(place: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB")
    client.cluster.sync(client.cluster.scheduler.close)
    cluster_cleanup(client)
    cluster_cleanup(client)
    cluster_cleanup()
    until(place.empty)


def test_keys_of_a_killed_client_go_at_the_next_start(place: Any, until: Any) -> None:
    import os

    from acme_cluster.batch_system.cluster_folder import ClusterFolder
    from acme_cluster.keys import make_keys

    pid = os.fork()
    if pid == 0:
        ClusterFolder.create(place.shared, make_keys())
        os._exit(0)
    os.waitpid(pid, 0)
    assert list(place.shared.rglob("keys.pem"))
    client = slurm_cluster_setup("8GBXS", mem_per_worker="600MB", n_workers_startup=0)
    assert len(list(place.shared.rglob("keys.pem"))) == 1
    cluster_cleanup(client)
    until(place.empty)
