from __future__ import annotations

import io
import sys
import time
from typing import Any

import pytest

from acme_cluster import errors
from acme_cluster.setup import waiting


class Jobs:
    """A cluster whose workers come online after a given time."""

    def __init__(self, after: float = 0.0, count: int = 1) -> None:
        self.ready = time.monotonic() + after
        self.count = count
        self.refused: str | None = None
        self.reason: str | None = None

    def online(self) -> int:
        return self.count if time.monotonic() >= self.ready else 0

    def why_waiting(self) -> str | None:
        return self.reason

    def hopeless(self) -> bool:
        return False


def wait(jobs: Jobs, needed: int = 1, timeout: float = 30, interactive: bool = False) -> None:
    options = waiting.WaitOptions(needed, timeout, interactive, 0.05)
    waiting.wait_for_workers(jobs, "test", 4, options)


def test_returns_when_workers_are_online() -> None:
    wait(Jobs(), needed=0)
    wait(Jobs())
    wait(Jobs(after=0.2))


def test_no_worker_in_time_is_a_timeout_with_the_reason() -> None:
    jobs = Jobs(after=1000)
    jobs.reason = "Priority: other jobs come first"
    with pytest.raises(TimeoutError, match="other jobs come first"):
        wait(jobs, timeout=0.1)


def test_some_workers_in_time_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    wait(Jobs(count=2), needed=3, timeout=0.1)
    assert "2 of 4 workers are online" in caplog.text


def test_refused_jobs_end_the_wait() -> None:
    jobs = Jobs(after=1000)
    jobs.refused = "sbatch: invalid account"
    with pytest.raises(RuntimeError, match="invalid account"):
        wait(jobs)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answers", "online", "outcome"),
    [
        ("k\n", 1, None),
        ("c\n", 2, None),
        ("a\n", 2, errors.DeclinedError),
        ("\n", 0, errors.DeclinedError),
        ("c\n", 0, errors.DeclinedError),
    ],
)
def test_the_question_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, answers: str, online: int, outcome: Any
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    monkeypatch.setattr(waiting.select, "select", lambda *_: ([sys.stdin], [], []))
    jobs = Jobs(after=0.4 if answers == "k\n" else 0 if online else 1000, count=online)
    needed = 3 if online > 1 else 1
    if outcome is None:
        wait(jobs, needed=needed, timeout=0.2, interactive=True)
    else:
        with pytest.raises(outcome):
            wait(jobs, needed=needed, timeout=0.1, interactive=True)
