"""From requests to job scripts, with SLURM's answers as text; the integration tests run SLURM."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from typing import Any

import pytest

from acme_cluster import slurm_job_script
from acme_cluster.batch_system.jobs import job_script
from acme_cluster.batch_system.plans import Request, make_plan
from acme_cluster.sites.catalog import generic_site, read_site
from acme_cluster.slurm import parse, query

GB = 2**30
PARTITIONS = """\
PartitionName=short Default=YES State=UP QoS=small DefMemPerCPU=2000 TotalNodes=2 TotalCPUs=16
TRES=mem=64G PartitionName=long State=UP MaxMemPerCPU=4000 DefMemPerNode=6000 TotalNodes=2
TotalCPUs=16 PartitionName=bare State=UP TotalNodes=4 TotalCPUs=16 TRES=cpu=16,mem=64G
PartitionName=shut State=DOWN PartitionName=theirs State=UP AllowAccounts=others
"""


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = parse.parse_partitions(PARTITIONS)
    limits = {"small": parse.Limits(memory=8 * GB, cpus=4)}
    monkeypatch.setattr(query, "partitions", lambda: known)
    monkeypatch.setattr(query, "qos_limits", lambda: limits)
    monkeypatch.setattr(query, "my_accounts", lambda: frozenset({"mine"}))


def plan(partition: str = "auto", cores: int | None = 1, memory: Any = "auto", **more: Any) -> Any:
    site = more.pop("site", generic_site())
    return make_plan(Request("test", partition, cores, memory=memory, **more), site)


@pytest.mark.parametrize(
    ("partition", "cores", "memory", "expected"),
    [
        ("auto", 1, "auto", ("short", 1, 8 * GB)),
        ("short", 2, "3GB", ("short", 2, 3 * GB)),
        ("short", 9, "3GB", ("short", 4, 3 * GB)),
        ("short", 1, "9GB", ("short", 1, 8 * GB)),
        ("short", None, "4GB", ("short", 2, 4 * GB)),
        ("long", 2, "auto", ("long", 2, 6000 * 2**20)),
        ("long", 1, "auto", ("long", 1, 4000 * 2**20)),
        ("long", 2, "99GB", ("long", 2, 8000 * 2**20)),
        ("bare", 2, "auto", ("bare", 2, 8 * GB)),
        ("bare", 1, "40GB", ("bare", 1, 16 * GB)),
    ],
)
def test_defaults_and_limits_of_requests(
    partition: str, cores: int | None, memory: str, expected: tuple[str, int, int]
) -> None:
    made = plan(partition, cores, memory)
    assert (made.partition, made.cores, made.memory) == expected


def test_cut_requests_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    plan("short", 9, "9GB")
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("at most 8 GB in partition short, not 9 GB" in text for text in warnings)
    assert any("at most 4 cores in partition short, not 9" in text for text in warnings)


@pytest.mark.parametrize("partition", ["nope", "shut", "theirs"])
def test_errors_about_partitions_list_the_usable_ones(partition: str) -> None:
    with pytest.raises(ValueError, match="can use: short, long, bare"):
        plan(partition)


def test_other_architectures_are_refused() -> None:
    site = read_site("s", {"partitions": {"long": {"architecture": "vax"}}})
    with pytest.raises(ValueError, match="vax machines"):
        plan("long", site=site)


def test_site_defaults_and_options() -> None:
    site = read_site(
        "s",
        {
            "partitions": {"long": {"memory": "3GB", "cores": 3}},
            "default_partition": "long",
            "account": "mine",
            "walltime": "01:00:00",
            "qos": "small",
            "gres": "gpu:1",
            "job_extra": ["--exclusive"],
            "prologue": ["module load python"],
            "worker_ports": "10000:10100",
            "interface": "lo",
        },
    )
    made = plan("auto", None, site=site, job_extra=["--nice"])
    assert (made.partition, made.cores, made.memory) == ("long", 3, 3 * GB)
    script = job_script(made)
    for line in (
        "#SBATCH -p long",
        "#SBATCH -A mine",
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --mem=3072M",
        "#SBATCH -t 01:00:00",
        "#SBATCH --qos=small",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --exclusive",
        "#SBATCH --nice",
        "module load python",
    ):
        assert line in script.splitlines()
    assert "--worker-ports 10000:10100" in script
    assert "--interface lo" in script
    assert "--cores 3" in script
    assert "PRIVATE" not in script


def test_without_a_walltime_the_script_has_none() -> None:
    assert "-t 00:30:00" not in slurm_job_script("short")


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("pbs", ["#PBS -q fat", "#PBS -A mine", "#PBS -l select=1:ncpus=2:mem=4096mb"]),
        ("sge", ["#$ -q fat", "#$ -P mine", "#$ -l h_vmem=2048M"]),
        ("lsf", ["#BSUB -q fat", '#BSUB -P "mine"', "#BSUB -n 2"]),
    ],
)
def test_scripts_of_other_batch_systems(system: str, lines: list[str]) -> None:
    site = read_site("s", {"system": system, "account": "mine", "walltime": "01:00"})
    script = job_script(plan("fat", 2, "4GB", site=site))
    for line in lines:
        assert line in script.splitlines()
    assert "acme_cluster.job_worker tls://SCHEDULER:PORT" in script
    with pytest.raises(ValueError, match="mem_per_worker='8GB'"):
        plan("fat", 2, site=site)


@pytest.mark.parametrize("place", ["main", "thread"])
def test_importing_dask_jobqueue_keeps_the_handler_of_ctrl_c(place: str) -> None:
    code = (
        "import signal, threading\n"
        "from acme_cluster.batch_system.jobs import job_class\n"
        "def load(): job_class('slurm')\n"
        "thread = threading.Thread(target=load)\n"
        f"load() if {place == 'main'} else (thread.start(), thread.join())\n"
        "assert 'dask_jobqueue.slurm' in __import__('sys').modules\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    )

    def default() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=default
    )
    assert done.stdout.strip() == "True", done.stderr
