"""Starting workers on SLURM: submitted jobs, rejected requests and messages."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import dask
import lab
import pytest

import acme_cluster
from acme_cluster import cluster_cleanup, slurm_cluster_setup, slurm_job_script
from acme_cluster.slurm import query


def test_partitions_and_limits_match_slurm(sandbox: Any) -> None:
    found = query.partitions()
    assert list(found) == [name for name, *_ in lab.PARTITIONS]
    assert [p.name for p in found.values() if p.default] == ["8GBXS"]
    assert [p.name for p in found.values() if not p.up] == ["CLOSED"]
    assert [p.name for p in found.values() if p.hidden] == ["SECRET"]
    assert found["OTHERS"].accounts == {"nobodys"}
    assert found["8GBXS"].memory_per_cpu == 2000 * 2**20
    assert found["8GBXS"].max_time == 3600
    assert found["ESI"].max_time is None
    limits = query.qos_limits()
    assert {name: limits[name].memory for name in ("8gbxs", "32gbs")} == {
        "8gbxs": 8 * 2**30,
        "32gbs": 32 * 2**30,
    }
    assert query.my_accounts() >= {"lab"}


def test_workers_compute_with_the_cores_and_memory_of_their_jobs(sandbox: Any) -> None:
    client = slurm_cluster_setup("8GBS", 2, n_workers=2, mem_per_worker="1GB", n_workers_startup=2)
    try:
        assert client.gather(client.map(pow, [2, 3], [5, 2], pure=False)) == [32, 9]
        assert set(client.nthreads().values()) == {1}
        seen = client.run(lambda: (os.environ["OMP_NUM_THREADS"], os.getcwd(), os.uname().nodename))
        assert {threads for threads, _, _ in seen.values()} == {"2"}
        assert {folder for _, folder, _ in seen.values()} == {str(sandbox.work)}
        assert {node for *_, node in seen.values()} <= set(lab.NODES)
        assert all(address.startswith("tls://") for address in seen)
        memory = {w["memory_limit"] for w in client.scheduler_info()["workers"].values()}
        assert memory == {2**30}
        assert sandbox.jobs("%P %C %m %T") == ["8GBS 2 1G RUNNING"] * 2
        (keys,) = sandbox.shared.rglob("keys.pem")
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600
        assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700
    finally:
        cluster_cleanup(client)


def test_partition_defaults(sandbox: Any, capsys: Any) -> None:
    client = slurm_cluster_setup()
    try:
        assert sandbox.jobs("%P %C %m") == ["8GBXS 1 8G"]
        assert "Using partition 8GBXS (SLURM's default)" in capsys.readouterr().err
        assert acme_cluster.current_client() is client
        assert slurm_cluster_setup() is client
        assert "Attaching to global parallel computing client" in capsys.readouterr().err
    finally:
        cluster_cleanup(client)


def test_cluster_without_client_and_several_processes_per_job(sandbox: Any) -> None:
    cluster = slurm_cluster_setup(
        "ESI",
        2,
        processes_per_worker=2,
        mem_per_worker="2GB",
        n_workers_startup=2,
        start_client=False,
    )
    try:
        assert len(cluster.scheduler.workers) == 2
        assert len(cluster.job_ids()) == 1
        assert {w.nthreads for w in cluster.scheduler.workers.values()} == {1}
    finally:
        cluster.close()


def test_requests_are_reduced_to_partition_limits(
    sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    script = slurm_job_script("8GBXS", 64, mem_per_worker="20GB")
    assert "--mem=8192M" in script
    assert "--cpus-per-task=8" in script
    text = caplog.text
    assert "at most 8 GB in partition 8GBXS, not 20 GB" in text
    assert "at most 8 cores in partition 8GBXS, not 64" in text


def test_job_script_submits_nothing(sandbox: Any) -> None:
    script = slurm_job_script(
        "16GBXS", 2, mem_per_worker="7900MB", job_extra=["--constraint=fast"], walltime="00:20:00",
        account="lab", qos="normal", gres="gpu:1",
    )  # fmt: skip
    for line in (
        "#SBATCH -p 16GBXS", "#SBATCH -A lab", "#SBATCH --cpus-per-task=2", "#SBATCH --mem=7900M",
        "#SBATCH -t 00:20:00", "#SBATCH --qos=normal", "#SBATCH --gres=gpu:1",
        "#SBATCH --constraint=fast",
    ):  # fmt: skip
        assert line in script.splitlines()
    assert "\nexec " in script
    assert "KEY" not in script
    assert sandbox.jobs() == []
    assert not sandbox.shared.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"partition": "8GBXL"}, ValueError, "8GBXS, 8GBS, 16GBXS, 24GBS, 32GBS, E880, ESI"),
        ({"partition": "CLOSED"}, ValueError, "is down"),
        ({"partition": "OTHERS"}, ValueError, "not open to your accounts"),
        ({"partition": 8}, TypeError, "partition"),
        ({"n_workers": 0}, ValueError, "n_workers"),
        ({"n_workers": "many"}, TypeError, "n_workers"),
        ({"cores_per_worker": 1.5}, ValueError, "cores_per_worker"),
        ({"processes_per_worker": -1}, ValueError, "processes_per_worker"),
        ({"mem_per_worker": "much"}, ValueError, "mem_per_worker"),
        ({"n_workers_startup": -1}, ValueError, "n_workers_startup"),
        ({"timeout": "soon"}, TypeError, "timeout"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"interactive": 1}, TypeError, "interactive"),
        ({"interactive_wait": None}, TypeError, "interactive_wait"),
        ({"start_client": "no"}, TypeError, "start_client"),
        ({"job_extra": "--x"}, TypeError, "job_extra"),
        ({"job_extra": [3]}, TypeError, "job_extra"),
        ({"job_extra": ["x"]}, ValueError, "job_extra"),
        ({"site": "nowhere"}, ValueError, "nowhere"),
    ],
)
def test_bad_arguments_submit_nothing(
    sandbox: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        slurm_cluster_setup(**arguments)
    # Not /dev/shm: other programs of the machine may be making files there at this moment.
    left = {what: found for what, found in sandbox.left().items() if what != "shared memory"}
    assert not any(left.values()), left


def test_rejected_job_raises_with_the_output_of_sbatch(sandbox: Any) -> None:
    with pytest.raises(
        RuntimeError, match=r"(?s)sbatch.*exit code 1.*nosuchaccount|[Ii]nvalid account"
    ):
        slurm_cluster_setup("8GBXS", account="nosuchaccount")
    assert sandbox.jobs() == []


def test_job_that_can_never_start_raises_with_the_reason(sandbox: Any) -> None:
    with pytest.raises((RuntimeError, TimeoutError), match="8 GB here"):
        slurm_cluster_setup(
            "8GBXS", mem_per_worker="1GB", job_extra=["--mem=9G"], timeout=30, interactive=False
        )


def test_timeout_states_why_jobs_are_pending(sandbox: Any) -> None:
    with pytest.raises(TimeoutError, match=r"within 4 seconds.*BeginTime: it may start only later"):
        slurm_cluster_setup("8GBXS", job_extra=["--begin=now+1hour"], timeout=4, interactive=False)


def test_workers_are_added_in_the_background(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup("8GBXS", n_workers=3, mem_per_worker="500MB", n_workers_startup=0)
    try:
        until(lambda: len(client.cluster.scheduler.workers) == 3)
    finally:
        cluster_cleanup(client)


def test_unknown_site_uses_the_default_partition(sandbox: Any) -> None:
    client = acme_cluster.start_client(None, n_calls=2)
    try:
        assert client.gather(client.map(abs, [-1, -2], pure=False)) == [1, 2]
        assert len(client.cluster.worker_spec) == 2
        assert set(sandbox.jobs("%P")) == {"8GBXS"}
    finally:
        cluster_cleanup(client)


def test_site_from_dask_configuration(sandbox: Any) -> None:
    site = {
        "made-up": {
            "paths": [str(sandbox.work)],
            "partitions": {"16GBXS": {"memory": "3GB", "cores": 2}},
            "default-partition": "16GBXS",
            "account": "lab",
            "walltime": "00:10:00",
            "log-directory": str(sandbox.temp / "{user}-logs"),
        }
    }
    with dask.config.set({"acme.sites": site}):
        client = acme_cluster.cluster_setup("made-up")
        try:
            assert sandbox.jobs("%P %C %m %a %l") == ["16GBXS 2 3G lab 10:00"]
            assert list((sandbox.temp / "root-logs").iterdir())
        finally:
            cluster_cleanup(client)
    for file in (sandbox.temp / "root-logs").iterdir():
        file.unlink()
    (sandbox.temp / "root-logs").rmdir()


def test_documented_site_file(sandbox: Any, until: Any) -> None:
    """Use only the `acme.yaml` shown on the page "Add your cluster"."""
    page = (Path(lab.__file__).parents[2] / "docs/howto/add-your-cluster.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    for written, here in (("short", "16GBXS"), ("large", "24GBS"), ("/tmp", str(sandbox.temp))):
        text = text.replace(written, here)
    text = text.replace('"login*", "node*"', f'"{socket.gethostname()}"')
    (sandbox.temp / "acme.yaml").write_text(text)
    sandbox.env["DASK_CONFIG"] = str(sandbox.temp)
    out, err = sandbox.run(
        "from acme_cluster import cluster_cleanup, detect_site, slurm_cluster_setup\n"
        "import os\n"
        "assert detect_site().name == 'institute'\n"
        "for partition in ('auto', '24GBS'):\n"
        "    client = slurm_cluster_setup(partition, cores_per_worker=None)\n"
        "    os.system(\"squeue -h -n acme -o '%P %C %m %l'\")\n"
        "    cluster_cleanup(client)\n"
    )
    assert "16GBXS 1 2G 30:00" in out
    assert "24GBS 2 6G 30:00" in out
    assert "Using partition 16GBXS (the default of institute)" in err
    for file in sorted(sandbox.temp.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
