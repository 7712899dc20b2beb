"""Programs as users write and end them, each in its own process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Script

SHORT = """
from acme_cluster import cluster_cleanup, local_cluster_setup

print("the script runs")

def square(x):
    return offset + x * x

offset = 10
client = local_cluster_setup(2)
print(client.gather(client.map(square, [1, 2, 3], pure=False)))
client.restart()
print(client.submit(square, 4).result())
"""
EXPECTED = "the script runs\n[11, 14, 19]\n26\n"
ENDS = {"cleanup": "cluster_cleanup()\n", "forgotten": ""}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("how", ["file", "module", "stdin", "command"])
def test_a_script_without_a_guard(script: Script, how: str, end: str) -> None:
    text = SHORT + ENDS[end]
    path = script.write(text)
    arguments = {
        "file": [str(path)],
        "module": ["-m", path.stem],
        "stdin": ["-"],
        "command": ["-c", text],
    }[how]
    out, err = script.run(*arguments, stdin=text)
    assert out == EXPECTED
    lines = err.splitlines()
    assert lines[0].startswith("<local_cluster_setup> Cluster dashboard accessible at http://")
    assert all(line.startswith("<cluster_cleanup> INFO: Closed") for line in lines[1:])


def test_an_exception_ends_workers_and_comes_out_unchanged(script: Script) -> None:
    process = script.start("-c", SHORT + "raise KeyError('mine')")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.rstrip().endswith("KeyError: 'mine'")
    assert "distributed" not in err


WAITING = """
import time
from acme_cluster import local_cluster_setup

client = local_cluster_setup(2)
busy = client.map(time.sleep, [60, 60], pure=False)
print("up", flush=True)
# A signal that comes just before a sleep waits for its end.
for _ in range(600):
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_signals_leave_nothing_behind(script: Script, number: signal.Signals, code: int) -> None:
    process = script.start("-c", WAITING, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    # The pipes reach their end when no worker holds them any more.
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    if number in (signal.SIGTERM, signal.SIGHUP):
        assert f"Received {number.name}: stopping the workers" in err


@pytest.mark.parametrize("first", ["import distributed", "import acme_cluster.setup.local"])
def test_an_unclosed_cluster_does_not_delay_the_end(script: Script, first: str) -> None:
    """For both orders of import: the module imported first cleans up last."""
    program = f"""
{first}
import time
from acme_cluster import cluster_cleanup, local_cluster_setup
client = local_cluster_setup(2)
assert client.submit(abs, -1).result() == 1
print(time.time())
"""

    def seconds_to_end(text: str) -> float:
        out, _ = script.run(str(script.write(text)))
        return time.time() - float(out)

    # dask's own clean-up waits two seconds. The shortest of three, because machines get busy.
    closed = max(seconds_to_end(program + "cluster_cleanup()") for _ in range(2))
    assert min(seconds_to_end(program) for _ in range(3)) < closed + 1


TO_A_FILE = """
import pathlib
from acme_cluster import cluster_cleanup, local_cluster_setup

client = local_cluster_setup(2)
pathlib.Path("result").write_text(str(client.gather(client.map(pow, [2, 3], [2, 2]))))
cluster_cleanup()
"""


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-"])
def test_standard_streams_may_be_closed(script: Script, closed: str) -> None:
    """Pipes of the fork server must not take the numbers of its standard streams."""
    path = script.write(TO_A_FILE)
    command = f'"$0" "$1" {closed}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(path)],
        cwd=script.folder, env=script.env, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (script.folder / "result").read_text() == "[4, 9]"
