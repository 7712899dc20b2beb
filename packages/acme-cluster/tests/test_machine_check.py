"""The check of a machine finds problems and gives advice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask
import pytest

from acme_cluster.machine_check import Finding, examine


def found(topic: str) -> list[Finding]:
    return [finding for finding in examine() if finding.topic == topic]


def test_a_machine_without_problems() -> None:
    findings = examine()
    assert {f.topic for f in findings} == {
        "versions", "workers", "SLURM", "site", "folder", "dashboard", "TLS",
    }  # fmt: skip
    others = [f for f in findings if f.topic != "versions"]
    assert [str(f) for f in others if f.level == "problem"] == []
    (slurm,) = found("SLURM")
    assert slurm.level == "note"
    assert "no SLURM" in str(slurm)


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    with dask.config.set({"acme.shared-directory": "/proc/nothing/here"}):
        (finding,) = found("folder")
    assert finding.level == "problem"
    assert "/proc/nothing/here" in finding.text
    assert "acme.shared-directory" in finding.advice


def test_disabled_features_are_notes() -> None:
    with dask.config.set({"acme.dashboard": False, "acme.local.tls": False}):
        assert [f.level for f in found("dashboard") + found("TLS")] == ["note", "note"]


def test_workers_that_start_later_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [f.level for f in found("workers")] == ["ok"]
    with dask.config.set({"acme.local.fork-server": False}):
        assert [f.level for f in found("workers")] == ["note"]
    monkeypatch.setattr("acme_cluster.internals.probe.findings", lambda: ["Nanny has no `x`"])
    (finding,) = found("workers")
    assert finding.level == "note"
    assert "Nanny has no `x`" in finding.text


def test_over_ssh_a_note_explains_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "1.2.3.4 5 6.7.8.9 22")
    assert any("ssh -L 8787" in f.advice or "ssh -L" in f.advice for f in found("dashboard"))


def test_an_invalid_site_is_a_problem_and_not_an_exception() -> None:
    with dask.config.set({"acme.sites": {"mine": {"partitons": {}}}}):
        assert [f.level for f in found("site")] == ["problem"]
        assert "partitons" in found("site")[0].text


def test_no_file_is_left(tmp_path: Path) -> None:
    with dask.config.set({"acme.shared-directory": str(tmp_path / "keys")}):
        examine()
    assert list(tmp_path.iterdir()) == []


def test_import_does_not_load_dask() -> None:
    code = "import acme_cluster.machine_check, sys; sys.exit('dask' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
