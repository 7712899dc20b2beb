"""Measure the constants that limit scaling, and extrapolate them to large clusters.

Measures the cost of a batch, a call, a file and a worker (`contenders/limits.py`), and extrapolates
to clusters and numbers of calls too large for this machine. `--write` writes both tables to
docs/explanation/scaling.md; `--kept` recalculates from the last measurement.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from contest import (
    CONTENDERS,
    HERE,
    Contender,
    Figures,
    Spread,
    compete,
    machine,
    markdown_table,
    put_between_markers,
    today,
    version,
)
from distributed.scheduler import heartbeat_interval

from acme_core.engine.batch_sizing import LONGEST_SECONDS

KEPT = HERE / "results" / "scaling.json"
PAGE = HERE.parent / "docs" / "explanation" / "scaling.md"

WHAT = ("tasks", "batches", "calls", "files", "workers")
CONSTANTS = {
    "tasks_per_second": ("short tasks per second through dask's scheduler", 0, ""),
    "ms_per_batch": ("CPU time of client and scheduler per batch", 1, "ms"),
    "us_per_call": ("CPU time of client and scheduler per call in a batch, in memory", 2, "µs"),
    "bytes_per_call": (
        "client memory per call, in memory, including the result (an `int`)",
        0,
        "B",
    ),
    "each_per_second": ("calls per second, one file per call, two workers", 0, ""),
    "stacked_per_second": ("calls per second, `result_shape`, two workers", 0, ""),
    "single_per_second": ("calls per second, `single_file`, two workers", 0, ""),
    "each_bytes": ("disk space per call, one file per call, one float", 0, "B"),
    "stacked_bytes": ("disk space per call, `result_shape`, one float", 0, "B"),
    "single_bytes": ("disk space per call, `single_file`, one float", 0, "B"),
    "each_memory": ("client memory per call, one file per call", 0, "B"),
    "stacked_memory": ("client memory per call, `result_shape`", 0, "B"),
    "single_memory": ("client memory per call, `single_file`", 0, "B"),
    "descriptors_per_worker": ("open file descriptors of the scheduler per worker", 1, ""),
    "kb_per_worker": ("scheduler memory per worker", 0, "kB"),
    "idle_percent_per_worker": ("scheduler CPU per idle worker", 2, "%"),
}


def measure(rounds: int) -> dict[str, Spread]:
    """Run each script `rounds` times; return median and range of every constant."""
    script = (CONTENDERS / "limits.py").read_text()
    contenders = [Contender(what, Path(sys.executable), script, (what,)) for what in WHAT]
    runs = compete(contenders, rounds, warm_up=False)
    figures: list[Figures] = [one for each in runs.values() for one in each]
    return {name: Spread.of(one[name] for one in figures if name in one) for name in CONSTANTS}


def constants_table(measured: dict[str, Spread]) -> str:
    """Return the table of measured constants."""
    lines = []
    for name, (what, digits, unit) in CONSTANTS.items():
        spread = measured[name]
        lines.append([what, f"{spread.text(digits)} {unit}".strip(), f"`{name}`"])
    return markdown_table(["quantity", "median (range)", "symbol"], lines)


# -- extrapolation ---------------------------------------------------------------------------


def extrapolation(constants: dict[str, float]) -> Iterator[tuple[str, str, str]]:
    """Yield questions, their calculations, and the answers."""
    batches = 1000 / constants["ms_per_batch"]
    yield (
        "batches per second that one client can handle",
        "1000 / ms_per_batch",
        f"{batches:.0f}",
    )
    yield (
        f"workers that short calls keep busy (batches of at most {LONGEST_SECONDS} s)",
        f"{LONGEST_SECONDS} s × batches per second",
        f"{LONGEST_SECONDS * batches:.0f}",
    )
    for workers in (1000, 10_000):
        yield (
            f"{_spaced(workers)} workers: minimum duration of a call",
            "workers / batches per second",
            _duration(workers / batches),
        )
    for workers in (1000, 10_000):
        descriptors = workers * constants["descriptors_per_worker"]
        megabytes = workers * constants["kb_per_worker"] / 1000
        # The constant is measured with few workers. distributed lengthens the heartbeat interval
        # with the number of workers, so each of many sends fewer.
        beats = workers * heartbeat_interval(1) / heartbeat_interval(workers)
        idle = beats * constants["idle_percent_per_worker"]
        yield (
            f"{_spaced(workers)} workers: file descriptors; memory; CPU for heartbeats",
            "workers × the three constants (heartbeats at the rate that dask sets)",
            f"{descriptors:.0f}; {megabytes:.0f} MB; {idle:.0f} % of a core",
        )
    n = 10**8
    yield (
        "10⁸ calls, in memory: client CPU time",
        "calls × us_per_call",
        _duration(n * constants["us_per_call"] / 1e6),
    )
    yield (
        "10⁸ calls, in memory: client memory",
        "calls × bytes_per_call",
        f"{n * constants['bytes_per_call'] / 1e9:.0f} GB",
    )
    for way, option in (
        ("each", "one file per call"),
        ("stacked", "`result_shape`"),
        ("single", "`single_file`"),
    ):
        yield (
            f"10⁸ calls, {option}: time of two workers, disk space, client memory",
            f"calls / {way}_per_second, × {way}_bytes, × {way}_memory",
            f"{_duration(n / constants[way + '_per_second'])}, "
            f"{n * constants[way + '_bytes'] / 1e9:.0f} GB, "
            f"{n * constants[way + '_memory'] / 1e9:.0f} GB",
        )
    yield (
        "10⁸ calls of 1 s on 1 000 workers",
        "calls × 1 s / workers (limited by batches per second)",
        _duration(n / min(1000, batches)),
    )
    yield (
        "10⁸ calls of 1 s on 10 000 workers, one client",
        "calls / batches per second, which is the limit here",
        _duration(n / min(10_000, batches)),
    )
    yield (
        "the same as an array of 100 jobs, each a client with 100 workers",
        "calls × 1 s / workers",
        _duration(n / 10_000),
    )


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def text(measured: dict[str, Spread], date: str) -> str:
    """Return both tables."""
    constants = {name: spread.median for name, spread in measured.items()}
    dask = version(Path(sys.executable), "distributed")
    return "\n\n".join(
        [
            f"Measured {date} on {machine()}, distributed {dask}.",
            constants_table(measured).strip(),
            "These constants imply:",
            markdown_table(["question", "calculation", "answer"], extrapolation(constants)).strip(),
        ]
    )


def main() -> None:
    """Parse the command line, measure, print, write the page."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3, help="runs of each measurement")
    options.add_argument("--kept", action="store_true", help="reuse the last measurement")
    options.add_argument("--write", action="store_true", help="write the page")
    chosen = options.parse_args()

    if chosen.kept:
        loaded = json.loads(KEPT.read_text())
        date = loaded.pop("date")
        measured = {name: Spread(*values) for name, values in loaded.items()}
    else:
        date, measured = today(), measure(chosen.rounds)
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(
            json.dumps(
                {"date": date} | {n: [s.median, s.low, s.high, s.n] for n, s in measured.items()},
                indent=1,
            )
        )
    result = text(measured, date)
    print(result)
    if chosen.write:
        put_between_markers(PAGE, "figures", result)


if __name__ == "__main__":
    main()
