"""Client and fork server import at the same time if the workers will be local processes."""

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
    """SLURM commands whose controller, on a given host, does not answer."""
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


def test_fork_server_starts_if_the_controller_of_this_machine_is_down(slurm):
    slurm(socket.gethostname().split(".")[0])
    assert processes() == ["1", "0"]


def test_no_fork_server_if_the_controller_is_on_another_machine(slurm):
    slurm("another-machine")
    assert processes() == ["0", "0"]
