"""Supervision of jobs, without a batch system; the integration tests lose real jobs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Status

from acme_cluster.batch_system import supervision


class FakeCluster:
    """As much of a cluster as a supervisor needs before it looks at jobs."""

    def __init__(self) -> None:
        self.status: Any = Status.running
        self.job_plan: Any = SimpleNamespace(caller="test", n_workers=1)
        self.folder: Any = SimpleNamespace(beat=self.beat)
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1


class FailingSupervisor(supervision.JobSupervisor):
    """Raises one error per pass, then ends the cluster."""

    def __init__(self, cluster: Any, errors: list[Exception]) -> None:
        super().__init__(cluster, Path("nowhere"))
        self.errors = errors

    async def _replace_lost(self) -> None:
        if not self.errors:
            self._cluster.status = Status.closed
            return
        raise self.errors.pop(0)


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


def test_supervision_continues_after_any_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervision, "_INTERVAL", 0.0)
    monkeypatch.setattr(supervision, "HEARTBEAT", -1.0)
    cluster = FakeCluster()
    repeated = [KeyError(object()), KeyError(object()), ValueError("other"), KeyError(object())]
    errors = [OSError("busy"), *repeated, Unprintable()]
    asyncio.run(FailingSupervisor(cluster, errors).run())
    assert cluster.beats == 7
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert ["KeyError" in r.getMessage() for r in warnings] == [True, False, False]
    assert warnings[1].getMessage().endswith("ValueError: other")
    assert "Unprintable" in warnings[2].getMessage()
    assert warnings[0].exc_info is not None


def test_the_last_output_line_of_a_job_is_cut_after_a_word(tmp_path: Path) -> None:
    cluster: Any = FakeCluster()
    supervisor = supervision.JobSupervisor(cluster, tmp_path)
    (tmp_path / "acme-7.err").write_text("first\n" + "several words " * 50 + "\n")
    quoted = supervisor._last_output_line("7")
    assert quoted.endswith(("several …", "words …"))
    assert len(quoted) < 240
