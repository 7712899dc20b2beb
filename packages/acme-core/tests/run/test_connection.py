"""Imports of client and workers at the same time, where the workers will be processes here."""

import os
import socket
import subprocess
import sys

import pytest

WARM_UP = """
import psutil
from acme_core.run.connection import cool_down, warm_up
warm_up()
print(len(psutil.Process().children()))
cool_down()
print(len(psutil.Process().children()))
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of SLURM whose controller does not answer, on a host that a test names."""
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def controller_on(host):
        for name in ("sbatch", "scancel", "squeue", "scontrol"):
            command = tmp_path / name
            command.write_text(f"#!/bin/sh\necho 'Slurmctld(primary) at {host} is DOWN'\nexit 1\n")
            command.chmod(0o755)

    return controller_on


def processes():
    command = [sys.executable, "-c", WARM_UP]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return run.stdout.split()


def test_workers_will_be_here_if_the_controller_would_be_and_is_not(slurm):
    slurm(socket.gethostname().split(".")[0])
    assert processes() == ["1", "0"]


def test_workers_will_be_jobs_where_the_controller_is_elsewhere(slurm):
    slurm("another-machine")
    assert processes() == ["0", "0"]
