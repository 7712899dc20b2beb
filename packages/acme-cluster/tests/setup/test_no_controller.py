"""SLURM's commands are installed here, and no controller answers them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import acme_cluster
from acme_cluster.slurm import query

COMMAND = """#!/bin/sh
echo "$0 $*" >> {log}
echo 'Slurmctld(primary) at {host} is {state}'
exit {code}
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Commands of SLURM that note how they are called, with a controller on a given host."""
    monkeypatch.undo()  # the fixture that hides SLURM from all other tests
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    log = tmp_path / "calls"

    def install(host: str, *, up: bool = False) -> Path:
        state, code = ("UP", 0) if up else ("DOWN", 1)
        for name in ("sbatch", "scancel", "squeue", "scontrol"):
            command = tmp_path / name
            command.write_text(COMMAND.format(log=log, host=host, state=state, code=code))
            command.chmod(0o755)
        return log

    return install


HERE = socket.gethostname().split(".")[0]


@pytest.mark.parametrize("host", [HERE, "another-machine"])
def test_esi_starts_local_workers_and_says_why(
    slurm: Callable[..., Path], host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm(host)
    client = acme_cluster.esi_cluster_setup(n_workers=1)
    assert client.submit(pow, 2, 3).result() == 8
    acme_cluster.cluster_cleanup(client)
    warning, *_ = capsys.readouterr().err.splitlines()
    assert warning.startswith("<esi_cluster_setup> WARNING: SLURM's commands on ")
    assert "scontrol ping" in warning
    assert warning.endswith("starting local workers")


@pytest.mark.parametrize("host", [HERE, "another-machine"])
def test_slurm_setup_says_that_no_controller_answers(slurm: Callable[..., Path], host: str) -> None:
    slurm(host)
    with pytest.raises(OSError, match="show partition") as info:
        acme_cluster.slurm_cluster_setup(n_workers=1)
    *_, output, advice = str(info.value).splitlines()
    assert output.endswith(f"Slurmctld(primary) at {host} is DOWN")
    for part in ("controller does not seem to answer", "`scontrol ping`", "local_cluster_setup()"):
        assert part in advice


def test_one_controller_that_is_up_is_enough(slurm: Callable[..., Path]) -> None:
    log = slurm("another-machine")
    command = log.with_name("scontrol")
    command.write_text(command.read_text().replace("exit", "echo 'Slurmctld(backup) is UP'\nexit"))
    assert query.answering()
    assert query.usable()


def test_esi_asks_at_a_terminal(
    slurm: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm("another-machine")
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    with pytest.raises(RuntimeError, match="declined"):
        acme_cluster.esi_cluster_setup(n_workers=1)
    assert "Start local workers instead? [Y/n]" in asked[0]


@pytest.mark.parametrize(
    ("host", "up", "usable"),
    [(HERE, False, False), ("another-machine", False, True), (HERE, True, True)],
)
def test_the_controller_is_asked_once(
    slurm: Callable[..., Path], host: str, up: bool, usable: bool
) -> None:
    log = slurm(host, up=up)
    for _ in range(3):
        assert query.usable() is usable
        assert query.answering() is up
    assert log.read_text().count("scontrol ping") == 1


def test_one_start_asks_the_controller_once(slurm: Callable[..., Path]) -> None:
    log = slurm(HERE)
    query.usable()
    acme_cluster.cluster_cleanup(acme_cluster.start_client(1))
    assert log.read_text().count("scontrol ping") == 1
