"""GPUs of jobs. They are made up: device files that SLURM hands out like those of real ones."""

from __future__ import annotations

import os
import signal
from typing import Any

import lab
import pytest

import acme_cluster
from acme_cluster import cluster_cleanup, slurm_cluster_setup, slurm_job_script


def devices(client: Any) -> list[tuple[str, str]]:
    """Return node and GPUs of each worker."""
    seen = client.run(lambda: (os.uname().nodename, os.environ.get("CUDA_VISIBLE_DEVICES", "")))
    return sorted(seen.values())


def requested(sandbox: Any) -> list[str]:
    """Return what each job asked for; SLURM 22 writes "gres:gpu:1", later ones "gres/gpu:1"."""
    return [text.replace("/", ":").removeprefix("gres:") for text in sandbox.jobs("%b")]


def each_alone(seen: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return node and number of each GPU in use; one that is used twice is there twice."""
    return [(node, gpu) for node, gpus in seen for gpu in gpus.split(",")]


def test_workers_of_several_jobs_and_of_one_job_share_no_gpu(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is set on the login node says nothing about the nodes.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    common = {"mem_per_worker": "600MB", "gpus_per_worker": 1}
    client = slurm_cluster_setup("GPU", n_workers=4, n_workers_startup=4, **common)
    try:
        assert requested(sandbox) == ["gpu:1"] * 4
        seen = devices(client)
        assert seen == [(node, gpu) for node in lab.GPU_NODES for gpu in ("0", "1")]
    finally:
        cluster_cleanup(client)
    client = slurm_cluster_setup(
        "GPU", 2, n_workers=2, n_workers_startup=4, processes_per_worker=2,
        **{**common, "mem_per_worker": "1200MB"},
    )  # fmt: skip
    try:
        assert requested(sandbox) == ["gpu:2"] * 2
        seen = devices(client)
        assert len(seen) == len(set(each_alone(seen))) == 4
    finally:
        cluster_cleanup(client)


def test_a_worker_that_comes_back_has_the_same_gpu(sandbox: Any, until: Any) -> None:
    client = slurm_cluster_setup(
        "GPU", 2, n_workers=1, n_workers_startup=2, processes_per_worker=2, mem_per_worker="1200MB",
        gpus_per_worker=1,
    )  # fmt: skip
    try:
        before = client.run(lambda: (os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]))
        lost, _ = min(before.values())
        os.kill(lost, signal.SIGKILL)

        def back() -> bool:
            try:
                pids = client.run(os.getpid).values()
            except OSError:  # asked just when the connection broke
                return False
            return len(pids) == 2 and lost not in pids

        until(back)
        assert [gpu for _, gpu in devices(client)] == ["0", "1"]
    finally:
        cluster_cleanup(client)


def test_two_gpus_for_each_worker(sandbox: Any) -> None:
    client = acme_cluster.start_client(
        None, n_calls=9, partition="GPU", mem_per_worker="600MB", gpus_per_worker=2
    )
    try:
        assert client.cluster.job_plan.n_workers == 2
        assert {gpus for _, gpus in devices(client)} == {"0,1"}
        assert slurm_cluster_setup("GPU", gpus_per_worker=1) is client
    finally:
        cluster_cleanup(client)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"gpus_per_worker": 3}, ValueError, "need 3 GPUs, but a node of partition 'GPU' .* 2"),
        ({"gpus_per_worker": 2, "processes_per_worker": 2}, ValueError, "need 4 GPUs .2 processes"),
        ({"gpus_per_worker": 1, "n_workers": 5}, ValueError, "need 5, but .* has 4.* n_workers=4"),
        ({"gpus_per_worker": 1, "partition": "CPU"}, ValueError, "'CPU' have no GPUs.* GPU .2 a n"),
        ({"gpus_per_worker": 1, "job_extra": ["--gres=gpu:1"]}, ValueError, "contradict"),
        ({"gpus_per_worker": -1}, ValueError, "gpus_per_worker"),
        ({"gpus_per_worker": "all"}, TypeError, "gpus_per_worker"),
    ],
)
def test_too_many_submit_nothing(
    sandbox: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        slurm_cluster_setup(**{"partition": "GPU", **arguments})
    # Not /dev/shm: other programs of the machine may be making files there at this moment.
    left = {what: found for what, found in sandbox.left().items() if what != "shared memory"}
    assert not any(left.values()), left


def test_without_the_option_jobs_ask_for_no_gpu(sandbox: Any) -> None:
    for none in (None, 0):
        assert "gres" not in slurm_job_script("GPU", gpus_per_worker=none)
    assert "#SBATCH --gres=gpu:2" in slurm_job_script("GPU", gpus_per_worker=2)
