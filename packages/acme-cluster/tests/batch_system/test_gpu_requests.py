"""GPUs of jobs, with SLURM's answers as text; the integration tests run SLURM."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from acme_cluster.batch_system import job_worker
from acme_cluster.batch_system.jobs import Plan, job_script
from acme_cluster.batch_system.plans import Request, make_plan
from acme_cluster.sites.catalog import generic_site, read_site
from acme_cluster.slurm import parse, query

PARTITIONS = """\
PartitionName=cpu Default=YES State=UP TotalNodes=2 TotalCPUs=64 TRES=mem=64G
PartitionName=gpu State=UP TotalNodes=5 TotalCPUs=160 TRES=mem=640G QoS=gpus
PartitionName=mixed State=UP TotalNodes=4 TotalCPUs=128 TRES=mem=640G
"""
NODES = """\
cpu|2|(null)
gpu|3|gpu:2(S:0-1)
gpu|1|gpu:4(S:0,1)
gpu|1|(null)
mixed|1|gpu:a100:4(S:0),gpu:t4:2(S:1)
mixed|3|gpu:t4:1
"""


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = parse.parse_partitions(PARTITIONS)
    monkeypatch.setattr(query, "partitions", lambda: known)
    monkeypatch.setattr(query, "node_groups", lambda: parse.parse_node_groups(NODES))
    monkeypatch.setattr(query, "qos_limits", lambda: {"gpus": parse.Limits(gpus=3)})
    monkeypatch.setattr(query, "my_accounts", lambda: frozenset({"mine"}))


def plan(partition: str = "gpu", gpus: Any = 1, **more: Any) -> Plan:
    site = more.pop("site", generic_site())
    return make_plan(Request("test", partition, 1, gpus=gpus, **more), site)


def site(**keys: Any) -> Any:
    return read_site("s", keys)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"gpus": 2}, "--gres=gpu:2"),
        ({"gpus": 1, "processes": 2}, "--gres=gpu:2"),
        ({"partition": "mixed", "site": site(gpu_gres="gpu:a100")}, "--gres=gpu:a100:1"),
        ({"site": site(gres="scratch:5,gpu:8")}, "--gres=scratch:5,gpu:1"),
        ({"partition": "mixed", "site": site(gres="gpu:t4:8,tmp")}, "--gres=tmp,gpu:t4:1"),
    ],
)
def test_a_job_asks_for_the_gpus_of_its_workers(arguments: dict[str, Any], option: str) -> None:
    made = plan(**arguments)
    script = job_script(made)
    assert [line for line in script.splitlines() if "gres" in line] == [f"#SBATCH {option}"]
    assert f" --gpus {arguments.get('gpus', 1)} " in script


@pytest.mark.parametrize("none", [None, 0])
def test_without_the_option_nothing_changes(none: int | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(query, "node_groups", lambda: pytest.fail("sinfo was not needed"))
    script = job_script(plan("cpu", none, site=site(gres="gpu:1"), job_extra=["--gpus=2"]))
    assert "#SBATCH --gres=gpu:1" in script
    assert "#SBATCH --gpus=2" in script
    assert "--gpus " not in script


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"partition": "cpu"}, r"'cpu' have no GPUs .*: gpu \(4 a node\), mixed \(6 a node\)\.$"),
        ({"partition": "auto"}, "'cpu' have no GPUs"),
        ({"gpus": 5}, "need 5 GPUs, but a node of partition 'gpu' has at most 4"),
        ({"gpus": 3, "processes": 2}, r"need 6 GPUs \(2 processes with 3 GPUs each\)"),
        ({"gpus": 4}, r"need 4 GPUs, but may have at most 3 .*QoS"),
        ({"n_workers": 11}, "11 jobs with 1 GPU each would need 11, .* has 10, .* n_workers=10"),
        ({"gpus": 3, "n_workers": 2}, "need 6, .* has 10, enough for 1 such jobs"),
        ({"gpus": 5, "partition": "mixed", "site": site(gpu_gres="gpu:a100")}, "at most 4"),
        ({"site": site(gpu_gres="gpu:h100")}, "no GPUs .'gpu:h100' .* with GPUs: none"),
        ({"job_extra": ["--gres=gpu:1"]}, "'--gres=gpu:1' in `job_extra` contradict"),
        ({"job_extra": ["--gpus-per-node 2"]}, "contradict"),
        ({"job_extra": ["-G2"]}, "contradict"),
        ({"site": site(job_extra=["--gpus=1"])}, "contradict"),
        ({"site": site(system="pbs")}, "is for SLURM: how PBS"),
        ({"gpus": -1}, "gpus_per_worker"),
        ({"gpus": 1.5}, "gpus_per_worker"),
    ],
)
def test_what_cannot_be_is_an_error(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plan(memory="1GB", **arguments)


def test_other_options_about_gpus_are_kept() -> None:
    extra = ["--gpu-freq=low", "--gres-flags=enforce-binding"]
    script = job_script(plan(job_extra=extra))
    assert all(f"#SBATCH {option}" in script for option in extra)


def test_a_default_number_of_workers_follows_the_gpus() -> None:
    assert plan(n_workers=100, fewer=True).n_workers == 10
    assert plan(gpus=2, n_workers=100, fewer=True).n_workers == 5
    assert plan(n_workers=4, fewer=True).n_workers == 4


def test_a_job_with_fewer_gpus_than_its_workers_ends_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        address = f"tls://127.0.0.1:{scheduler.getsockname()[1]}"
        options = "--name 0 --memory 1000000000 --processes 2 --gpus 1"
        assert job_worker.main([address, *options.split()]) == 1
    said = "This job has 1 GPU (CUDA_VISIBLE_DEVICES='0'), but its workers need 2.\n"
    assert capsys.readouterr().out == said
