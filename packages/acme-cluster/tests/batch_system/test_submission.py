"""Hanging submissions do not delay the end, and leave no process."""

from __future__ import annotations

import asyncio
import sys
import time

import psutil
import pytest

from acme_cluster.batch_system.submission import Gate, call

HANGS = [sys.executable, "-c", "import time; time.sleep(300)"]


def test_a_hanging_submission_is_stopped_when_the_cluster_ends() -> None:
    async def run() -> None:
        gate = Gate()
        submission = asyncio.ensure_future(gate.submit(call(HANGS)))
        while not psutil.Process().children():
            await asyncio.sleep(0.01)
        gate.open = False
        await gate.settle(0.1)
        with pytest.raises(OSError, match="The cluster is ending"):
            await submission
        with pytest.raises(OSError, match="The cluster is ending"):
            await gate.submit(call(HANGS))

    start = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - start < 10
    assert not [child for child in psutil.Process().children() if child.status() != "zombie"]


def test_a_submission_in_flight_may_finish() -> None:
    async def run() -> None:
        gate, seen = Gate(), []

        async def short() -> None:
            await asyncio.sleep(0.1)
            seen.append("submitted")

        submission = asyncio.ensure_future(gate.submit(short()))
        await asyncio.sleep(0.01)
        gate.open = False
        await gate.settle(5)
        await submission
        assert seen == ["submitted"]

    asyncio.run(run())
