"""Processes that calls start: they may, and what they leave behind ends with their worker."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def leaves_processes(x):
    """Return the process ids of what this call leaves behind, and of its worker."""
    started = subprocess.Popen(SLEEP)
    stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"])
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    pool = multiprocessing.get_context("fork").Pool(1)
    globals()["kept"] = started, stubborn, child, pool
    pids = [started.pid, stubborn.pid, child.pid, pool.apply(os.getpid)]
    return pids, os.getpid()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids):
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


SCRIPT = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from acme_core import ParallelMap
from test_processes_of_calls import leaves_processes
def run():
    with ParallelMap(
        leaves_processes, [1], write_worker_results=False, verbose=False, stop_client=False
    ) as pmap:
        [(pids, worker)] = pmap.compute()
    print(*pids, worker, flush=True)
    return pmap
pmap = run()
while command := input():
    exec(command)
"""


@contextlib.contextmanager
def program(folder):
    """Run a program with a worker and what its call left behind; yield it and their ids."""
    (folder / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, folder / "script.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running, pids_from(running)
        finally:
            running.kill()


def pids_from(running):
    *pids, worker = map(int, running.stdout.readline().split())
    assert len(pids) == 4
    assert all(map(alive, pids))
    return pids, worker


def test_calls_use_pools(in_memory, workers):
    def squares(x):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-x, x])

    assert in_memory(squares, [1, 2, 3]) == [[1, 1], [2, 2], [3, 3]]


def test_they_end_when_the_worker_closes(tmp_path):
    with program(tmp_path) as (running, (pids, worker)):
        running.stdin.write("pmap.client.cluster.close(); print('closed', flush=True)\n")
        running.stdin.flush()
        assert running.stdout.readline() == "closed\n"
        wait_until_gone([*pids, worker])
        assert running.poll() is None


def test_they_end_when_the_worker_is_killed(tmp_path):
    with program(tmp_path) as (running, (pids, worker)):
        os.kill(worker, signal.SIGKILL)
        wait_until_gone([*pids, worker])
        # The cluster has a new worker.
        running.stdin.write("pmap = run()\n")
        running.stdin.flush()
        _, other = pids_from(running)
        assert other != worker


def test_they_end_with_the_program(tmp_path):
    with program(tmp_path) as (running, (pids, worker)):
        running.communicate("\n", timeout=60)
        assert running.returncode == 0
        wait_until_gone([*pids, worker])


def test_they_end_when_the_client_is_killed(tmp_path):
    with program(tmp_path) as (running, (pids, worker)):
        running.kill()
        wait_until_gone([*pids, worker])
