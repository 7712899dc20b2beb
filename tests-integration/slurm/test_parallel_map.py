"""`ParallelMap` on a SLURM cluster: workers, clients and clean-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client

from acme import ComputeError, ParallelMap, open_results
from acme_cluster import cluster_cleanup, slurm_cluster_setup

ROOT = Path(__file__).resolve().parents[2]


def clear(sandbox: Any) -> None:
    for path in sorted(sandbox.work.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_workers_run_in_the_requested_partition(sandbox: Any, until: Any) -> None:
    def f(x: int, y: int, z: int = 3) -> int:
        return (x + y) * z

    z = np.random.default_rng(1).integers(low=1, high=10, size=60, endpoint=True)
    with ParallelMap(
        f, 2, 4, z=z, n_workers=3, partition="16GBXS", mem_per_worker="700MB", stop_client=False
    ) as pmap:
        files = pmap.compute()
        assert sandbox.jobs("%P %C %m") == ["16GBXS 1 700M"] * 3
    assert len(files) == 60
    with open_results(pmap.results_container) as results:
        assert [call.values for call in results] == [6 * int(value) for value in z]
    assert len(sandbox.jobs()) == 3
    with ParallelMap(f, 2, 4, z=z, write_worker_results=False) as again:
        assert again.compute() == [6 * int(value) for value in z]
        assert again.client is pmap.client
    cluster_cleanup(pmap.client)
    until(lambda: not sandbox.jobs())
    clear(sandbox)


def test_default_partition_and_one_worker_per_call(
    sandbox: Any, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with ParallelMap(pow, [2, 3, 4], 2, mem_per_worker="600MB", write_worker_results=False) as pmap:
        assert pmap.compute() == [4, 9, 16]
        assert sandbox.jobs("%P") == ["8GBXS"] * 3
    assert "Using partition 8GBXS (SLURM's default)" in capsys.readouterr().err
    until(lambda: not sandbox.jobs())


def test_site_limits_the_number_of_workers(
    sandbox: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = {
        "small": {"description": "the small one", "paths": [str(sandbox.work)], "max_workers": 2}
    }
    with (
        dask.config.set({"acme.sites": sites}),
        ParallelMap(abs, range(50), mem_per_worker="600MB", write_worker_results=False) as pmap,
    ):
        assert pmap.compute() == list(range(50))
        assert len(sandbox.jobs()) == 2
    said = capsys.readouterr().err
    assert "Starting 2 workers for 50 calls, the most that the small one allows" in said


def test_lost_worker_loses_no_results(sandbox: Any, until: Any) -> None:
    """Cancel a job while it computes: its calls run again on a new worker."""

    def slow(x: int) -> int:
        import time

        time.sleep(0.2)
        return x

    client = slurm_cluster_setup("8GBXS", n_workers=2, mem_per_worker="600MB", n_workers_startup=2)
    victim, marker = client.cluster.job_ids()[0], sandbox.work / "cancelled"

    def cancel_soon(x: int) -> int:
        import subprocess

        # Only once: the call runs again, and with it this code.
        if x == 5 and not marker.exists():
            marker.touch()
            subprocess.run(["scancel", victim], check=True)
        return slow(x)

    try:
        with ParallelMap(cancel_soon, range(60), write_worker_results=False) as pmap:
            assert pmap.compute() == list(range(60))
        until(lambda: client.cluster.deaths)
        assert "the job was cancelled" in client.cluster.deaths[0]
    finally:
        cluster_cleanup(client)
    marker.unlink()
    for path in sorted((sandbox.shared / "logs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (sandbox.shared / "logs").rmdir()


def test_call_uses_all_cores_of_its_worker(sandbox: Any) -> None:
    def threads(_call: int) -> tuple[str, set[int], int]:
        import os

        import numpy as np
        import threadpoolctl

        np.ones((200, 200)) @ np.ones((200, 200))
        pools = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        return os.environ["OMP_NUM_THREADS"], pools, os.getpid()

    client = slurm_cluster_setup("8GBXS", cores_per_worker=4, mem_per_worker="1GB")
    try:
        with ParallelMap(threads, range(3), write_worker_results=False) as pmap:
            results = pmap.compute()
        assert {variable for variable, _, _ in results} == {"4"}
        # OpenBLAS starts at most as many threads as the machine has cores.
        most = min(4, os.cpu_count() or 1)
        assert all(pools <= {most, 4} for _, pools, _ in results)
        assert len({pid for _, _, pid in results}) == 1
    finally:
        cluster_cleanup(client)


def test_failures_on_nodes_are_reported(sandbox: Any) -> None:
    with (
        ParallelMap(
            divmod, [1, 2], [1, 0], mem_per_worker="600MB", write_worker_results=False
        ) as pmap,
        pytest.raises(ComputeError, match="ZeroDivisionError in 1 call"),
    ):
        pmap.compute()


def test_client_connected_by_address(sandbox: Any, until: Any) -> None:
    """ACME uses such a client, which has no cluster object, and leaves its workers running."""
    cluster = slurm_cluster_setup(
        "8GBXS", mem_per_worker="600MB", n_workers_startup=1, start_client=False
    )
    try:
        with Client(cluster.scheduler_address, security=cluster.security) as client:
            assert client.cluster is None
            with ParallelMap(pow, range(20), 2, write_worker_results=False) as pmap:
                assert pmap.compute() == [x * x for x in range(20)]
                assert pmap.client is client
            assert client.submit(abs, -1).result() == 1
        assert len(sandbox.jobs()) == 1
    finally:
        cluster.close()


def test_client_of_an_unencrypted_foreign_scheduler(sandbox: Any) -> None:
    """ACME uses `Client("tcp://...")` and leaves it and its workers unchanged."""
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        queue="8GBXS", cores=1, processes=1, memory="700MiB", walltime="00:05:00",
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
    )  # fmt: skip
    with cluster:
        cluster.scale(2)
        with Client(cluster.scheduler_address) as client:
            assert client.cluster is None
            assert client.scheduler.address.startswith("tcp://")
            client.wait_for_workers(2, timeout=60)
            with ParallelMap(pow, range(20), 2, write_worker_results=False) as pmap:
                assert pmap.compute() == [x * x for x in range(20)]
                assert pmap.client is client
            assert len(client.nthreads()) == 2
    sandbox.clear_after_others()


KILLED = """
import time
from acme import ParallelMap

def f(x):
    time.sleep(0.2)
    return x

with ParallelMap(f, range(1000), n_workers=2, mem_per_worker="600MB", output_dir="out") as pmap:
    pmap.compute()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_interrupted_run_keeps_finished_calls(sandbox: Any, until: Any, number: Any) -> None:
    process = sandbox.start(KILLED)
    out = sandbox.work / "out"
    until(lambda: len(list(out.rglob("f_*.h5"))) > 10)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    if number != signal.SIGKILL:
        assert "resume=True" in err
        assert (out / "f.h5").exists()
    until(lambda: not sandbox.jobs() and not sandbox.processes(), 120)
    until(lambda: not sandbox.shared.exists() and not list(sandbox.temp.iterdir()), 120)
    with open_results(out) as results:
        done = [i for i, status in enumerate(results.status) if status == "done"]
        assert len(done) > 10
        assert all(results[i].values == i for i in done)
    clear(sandbox)


LARGE = """
import time
import numpy as np
from acme import ParallelMap

def f(x, large):
    time.sleep(0.2)
    return x + large.nbytes

with ParallelMap(
    f, range(1000), np.zeros(13_000_000), n_inputs=1000, n_workers=2, mem_per_worker="900MB",
    output_dir="out"
) as pmap:
    pmap.compute()
"""


def test_large_arguments_of_a_killed_client_are_removed(sandbox: Any, until: Any) -> None:
    """Large arguments are in the output directory, readable by all nodes, until all workers end."""
    process = sandbox.start(LARGE)
    out = sandbox.work / "out"
    until(lambda: len(list(out.rglob("f_*.h5"))) > 4)
    assert list(out.glob(".acme-*"))
    process.kill()
    process.communicate()
    until(lambda: not sandbox.jobs() and not sandbox.processes(), 120)
    until(lambda: not list(out.glob(".acme-*")), 30)
    clear(sandbox)


def test_cluster_example(sandbox: Any) -> None:
    program = str(ROOT / "examples/cluster/run.py")
    done = subprocess.run(
        [sys.executable, program, "--partition", "8GBXS"],
        env=sandbox.env, cwd=sandbox.work, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "pi is about 3.142\n", done.stderr
