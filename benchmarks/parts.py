"""Measure the benefit of each hand-written part, with the part and without it.

Every row compares one figure of two scripts that differ in a single part; the second script
switches it off or replaces it with the standard solution. `hatch run bench:parts` prints the table
and writes it to the architecture page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contest import (
    HERE,
    Contender,
    Spread,
    compete,
    environment,
    machine,
    markdown_table,
    put_between_markers,
    spreads,
    today,
)

PAGE = HERE.parent / "docs" / "explanation" / "architecture.md"

FIRST_RUN = """\
from stopwatch import mark

def f(x, y, z=3):
    return (x + y) * z

from acme import ParallelMap
with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
    pmap.compute()
    mark("seconds")
"""

REPLACED_WORKER = """\
import os, signal, time
from acme_cluster import cluster_cleanup, local_cluster_setup
from stopwatch import figure
client = local_cluster_setup(1)
(pid,) = client.run(os.getpid).values()
start = time.time()
os.kill(pid, signal.SIGKILL)
while True:
    try:
        now = list(client.run(os.getpid).values())
    except OSError:
        continue
    if now and now != [pid]:
        break
    time.sleep(0.005)
figure("seconds", time.time() - start)
cluster_cleanup(client)
"""

# Workers are running and have completed a run before the clock starts.
FILES = """\
import time
import numpy as np
from acme import ParallelMap
from acme_cluster import cluster_cleanup, local_cluster_setup
from stopwatch import figure
client = local_cluster_setup(2)
def f(x, y):
    return {value}
options = dict(verbose=False, logfile=False)
ParallelMap(f, [1, 2, 3, 4], 2, **options).compute()
inputs = list(range({calls}))
pmap = ParallelMap(f, inputs, 2, **options)
start = time.perf_counter()
pmap.compute()
written = time.perf_counter()
figure("written", written - start)
values = [call.values for call in pmap.results]
figure("read", time.perf_counter() - written)
assert len(values) == {calls}
cluster_cleanup(client)
"""

AGAIN = """\
import time
{without}
from acme import ParallelMap
from acme_cluster import cluster_cleanup, local_cluster_setup
from stopwatch import figure
client = local_cluster_setup(2)
def f(x, y):
    return x + y
seconds = []
for _ in range(12):
    pmap = ParallelMap(f, [2, 4, 6, 8], 4, write_worker_results=False, verbose=False)
    start = time.perf_counter()
    pmap.compute()
    seconds.append(time.perf_counter() - start)
figure("seconds", sorted(seconds)[5])
cluster_cleanup(client)
"""
SLOW_MESSAGES = """\
import acme_cluster.internals.prompt_client as part
part._COLLECTING_TIME = 0.01
"""

IMPORT = """\
import contextlib, sys, time
from stopwatch import figure
from acme_cluster.internals.fast_imports import not_installed, quick_imports
with {how}:
    start = time.perf_counter()
    import distributed
    figure("seconds", time.perf_counter() - start)
"""

DASHBOARD = """\
import time
from stopwatch import figure
import distributed
start = time.perf_counter()
{without}
figure("seconds", time.perf_counter() - start)
"""

TLS = """\
import time
{without}
from acme_cluster import cluster_cleanup, local_cluster_setup
import acme_cluster.setup.local
from stopwatch import figure
start = time.perf_counter()
client = local_cluster_setup(2)
figure("seconds", time.perf_counter() - start)
cluster_cleanup(client)
"""
DEFAULT_CONTEXTS = """\
import acme_cluster.internals.tls as part
part.lighten_accepting = lambda: None
del part.MemorySecurity._get_tls_context
"""

CHECKSUM = """\
import time
import numpy as np
from stopwatch import figure
import h5py
from acme_io.files.checksum import checksum
data = np.random.default_rng(1).random(4_000_000)
seconds = []
for i in range(12):
    start = time.perf_counter()
    with h5py.File(f"/dev/shm/acme-parts-{{i}}.h5", "w") as file:
        file["result_0"] = data
    {checked}
    seconds.append(time.perf_counter() - start)
    __import__("os").unlink(f"/dev/shm/acme-parts-{{i}}.h5")
figure("seconds", sorted(seconds)[5])
"""

REPORT = """\
import time
import acme_io
from acme import ParallelMap
from stopwatch import figure
with ParallelMap(float, range(10_000), single_file=True, verbose=False, logfile=False) as pmap:
    pmap.compute()
start = time.perf_counter()
acme_io.write_report(pmap.results_container)
figure("seconds", time.perf_counter() - start)
"""
MATPLOTLIB = """\
import time
from stopwatch import figure
start = time.perf_counter()
import matplotlib.pyplot
figure("seconds", time.perf_counter() - start)
"""

SITES = """\
import time
from stopwatch import figure
import dask
start = time.perf_counter()
from acme_cluster.sites.catalog import load_sites
load_sites()
figure("seconds", time.perf_counter() - start)
"""
PYDANTIC = """\
import time
from stopwatch import figure
start = time.perf_counter()
import pydantic
class Partition(pydantic.BaseModel):
    name: str
    memory: str | None = None
class Site(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str
    partitions: list[Partition] = []
Site.model_validate({"name": "x", "partitions": [{"name": "a"}]})
figure("seconds", time.perf_counter() - start)
"""

STOCK = {"DASK_ACME__LOCAL__FORK_SERVER": "false"}
LIBRARY = {"ACME_IO_TEMPLATES": "off"}


@dataclass(frozen=True)
class Row:
    """One figure, with a part and without it."""

    part: str
    what: str
    script: str
    without: str
    figure: str = "seconds"
    environ: Mapping[str, str] = field(default_factory=dict)
    peer: str | None = None

    def contenders(self) -> list[Contender]:
        """Return both scripts; a peer runs in its own environment."""
        here = Path(sys.executable)
        python = environment(self.peer) if self.peer else here
        return [
            Contender("with", here, self.script),
            Contender("without", python, self.without, environ=self.environ),
        ]


def _files(value: str, calls: int) -> str:
    return FILES.format(value=value, calls=calls)


def _same(part: str, what: str, script: str, environ: Mapping[str, str], figure: str) -> Row:
    return Row(part, what, script, script, figure, environ)


ROWS = (
    _same("fork server", "process start to first results", FIRST_RUN, STOCK, "seconds"),
    _same("fork server", "a killed worker is replaced", REPLACED_WORKER, STOCK, "seconds"),
    _same("templates", "10 000 numbers, 1 file each", _files("x + y", 10_000), LIBRARY, "written"),
    _same("templates", "reading them", _files("x + y", 10_000), LIBRARY, "read"),
    _same(
        "templates",
        "2 000 arrays of 80 kB, 1 file each",
        _files("np.full(10_000, x + y)", 2_000),
        LIBRARY,
        "written",
    ),
    _same("templates", "reading them", _files("np.full(10_000, x + y)", 2_000), LIBRARY, "read"),
    Row(
        "quick imports",
        "`import distributed`",
        IMPORT.format(how="quick_imports(), not_installed('jinja2')"),
        IMPORT.format(how="contextlib.nullcontext()"),
    ),
    Row(
        "dashboard on demand",
        "imports of the dashboard",
        DASHBOARD.format(without="pass"),
        DASHBOARD.format(without="import distributed.dashboard.scheduler"),
    ),
    Row(
        "prompt messages",
        "repeated run of 4 calls",
        AGAIN.format(without=""),
        AGAIN.format(without=SLOW_MESSAGES),
    ),
    Row(
        "TLS contexts",
        "start of two workers, client's part",
        TLS.format(without=""),
        TLS.format(without=DEFAULT_CONTEXTS),
    ),
    Row(
        "checksums",
        "one array of 32 MB in memory",
        CHECKSUM.format(checked="checksum(data.view(np.uint8).data)"),
        CHECKSUM.format(checked="pass"),
    ),
    Row(
        "charts",
        "report on 10 000 calls; `import matplotlib.pyplot`",
        REPORT,
        MATPLOTLIB,
        peer="matplotlib",
    ),
    Row(
        "schema of sites",
        "loading the sites; pydantic and one small model",
        SITES,
        PYDANTIC,
        peer="pydantic",
    ),
)


def measure(row: Row, rounds: int) -> tuple[str, ...]:
    """Measure a row; return its cells."""
    found = spreads(compete(row.contenders(), rounds), row.figure)
    ours, plain = found["with"], found["without"]
    ratio = plain.median / ours.median if ours.median > 1e-4 else float("inf")
    times = "–" if ratio == float("inf") else f"{ratio:.2g}"
    return row.part, row.what, _shown(ours), _shown(plain), times


def _shown(spread: Spread) -> str:
    digits = 2 if spread.median >= 1 else 3
    return f"{spread.text(digits)} s"


def main() -> None:
    """Parse the command line, measure, print the table and write it to the page."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5, help="runs of each script")
    options.add_argument("--only", help="measure the parts whose name contains this text; print")
    chosen = options.parse_args()
    rows = [row for row in ROWS if not chosen.only or chosen.only in row.part]
    cells = []
    for row in rows:
        print(f"measuring {row.part}: {row.what} …", file=sys.stderr, flush=True)
        cells.append(measure(row, chosen.rounds))
    table = markdown_table(("part", "what", "with it", "without it", "without / with"), cells)
    text = f"Measured {today()} on {machine()}; medians and ranges.\n\n{table}"
    print(text)
    if not chosen.only:
        put_between_markers(PAGE, "parts", text)


if __name__ == "__main__":
    main()
