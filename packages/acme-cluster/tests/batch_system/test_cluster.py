"""What keeps batch clusters alive, without a batch system."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Status

from acme_cluster.batch_system import cluster


class Upkeep(cluster.BatchWorkers):
    """A cluster whose jobs are never looked at with success."""

    def __init__(self, *errors: Exception) -> None:
        self.status: Any = Status.running
        self.errors = list(errors)
        self.folder: Any = SimpleNamespace(beat=self.beat)
        self.job_plan: Any = SimpleNamespace(caller="test")
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1

    async def _replace_lost(self) -> None:
        if not self.errors:
            self.status = Status.closed
            return
        raise self.errors.pop(0)


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


def test_upkeep_goes_on_after_any_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_UPKEEP_INTERVAL", 0.0)
    monkeypatch.setattr(cluster, "HEARTBEAT", -1.0)
    errors = [KeyError(object()), KeyError(object()), ValueError("other"), KeyError(object())]
    workers = Upkeep(OSError("busy"), *errors, Unprintable())
    asyncio.run(workers._look_after())
    assert workers.beats == 7
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert ["KeyError" in r.getMessage() for r in warnings] == [True, False, False]
    assert warnings[1].getMessage().endswith("ValueError: other")
    assert "Unprintable" in warnings[2].getMessage()
    assert warnings[0].exc_info is not None


def test_the_last_words_of_a_job_end_with_a_whole_word(tmp_path: Any) -> None:
    workers = Upkeep()
    workers._logs = tmp_path
    (tmp_path / "acme-7.err").write_text("first\n" + "several words " * 50 + "\n")
    quoted = workers._last_words("7")
    assert quoted.endswith(("several …", "words …"))
    assert len(quoted) < 240
