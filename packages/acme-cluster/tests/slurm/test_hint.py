"""Guessing from files whether this machine has SLURM."""

import pytest

from acme_cluster.slurm import hint


@pytest.fixture
def no_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(hint, "_CONFIGURATIONS", (str(tmp_path / "slurm.conf"),))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def install(folder):
    command = folder / "bin" / "sbatch"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)


def test_no_cluster_without_commands(no_configuration, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    assert not hint.looks_like_slurm()


def test_no_cluster_without_a_configuration(no_configuration):
    install(no_configuration)
    assert not hint.looks_like_slurm()


@pytest.mark.parametrize("where", ["slurm.conf", "etc/slurm.conf", None])
def test_commands_with_a_configuration_look_like_a_cluster(no_configuration, monkeypatch, where):
    install(no_configuration)
    if where is None:
        monkeypatch.setenv("SLURM_CONF", "/somewhere/else.conf")
    else:
        (no_configuration / where).parent.mkdir(exist_ok=True)
        (no_configuration / where).write_text("ClusterName=x\n")
    assert hint.looks_like_slurm()
