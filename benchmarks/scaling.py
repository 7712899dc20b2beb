"""Measure how many workers one client keeps busy, and the constants that limit scaling.

With `--workers`, runs calls on simulated workers (`contenders/simulation.py`) and prints the
fraction of worker time spent in calls, compared with plain `Client.map` on the same workers, and
with `--parsl` with up to a hundred real workers of Parsl (`contenders/parsl_workers.py`).

Otherwise measures the cost of a batch, a call, a file and a worker (`contenders/limits.py`), and
extrapolates to clusters and numbers of calls too large for this machine. `--write` writes either to
docs/explanation/scaling.md; `--kept` recalculates from the last measurement.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from contest import (
    CONTENDERS,
    HERE,
    Contender,
    Figures,
    Spread,
    compete,
    environment,
    machine,
    markdown_table,
    put_between_markers,
    spreads,
    today,
    version,
)
from distributed.scheduler import heartbeat_interval

from acme_core.engine.batch_sizing import BATCHES_PER_SECOND

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
    cost = BATCHES_PER_SECOND * constants["ms_per_batch"] / 1000
    yield (
        f"CPU of client and scheduler for {BATCHES_PER_SECOND} batches per second",
        f"{BATCHES_PER_SECOND} × ms_per_batch",
        f"{100 * cost:.0f} % of a core",
    )
    for workers in (1000, 10_000):
        yield (
            f"{_spaced(workers)} workers: duration of a batch",
            f"workers / {BATCHES_PER_SECOND}",
            _duration(workers / BATCHES_PER_SECOND),
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
    for workers in (1000, 10_000):
        yield (
            f"10⁸ calls of 1 s on {_spaced(workers)} workers",
            "calls × 1 s / workers",
            _duration(n / workers),
        )


# -- simulation ------------------------------------------------------------------------------

# Run time of a call in seconds, and about how long a run takes: many times the longest batch.
CALLS = {0.01: 20.0, 0.05: 25.0, 2.0: 36.0}
# `Client.map` does far fewer calls a second; runs of as many calls would take minutes.
MOST_CALLS_OF_MAP = 10_000
# Parsl's workers are processes, of which this machine's memory holds about a hundred.
MOST_WORKERS_OF_PARSL = 100


def simulate(
    workers: Sequence[int], seconds: Sequence[float], rounds: int, parsl: Path | None = None
) -> str:
    """Run calls on simulated workers; return the table of the shares of time in calls.

    ``parsl`` is the interpreter of an environment with Parsl, which then runs the same calls.
    """
    rows = []
    for each in seconds:
        for n_workers in workers:
            n = n_workers * max(1, round(CALLS.get(each, 25.0) / each))
            contenders = [
                _simulated("acme", n_workers, each, n),
                _simulated("map", n_workers, each, min(n, MOST_CALLS_OF_MAP)),
            ]
            real = parsl if n_workers <= MOST_WORKERS_OF_PARSL else None
            if real is not None:
                contenders.append(_with_parsl(real, n_workers, each, min(n, MOST_CALLS_OF_MAP)))
            runs = compete(contenders, rounds, warm_up=False, timeout=900)
            shares, speeds = spreads(runs, "share"), spreads(runs, "calls_per_second")
            client = spreads(runs, "client_cores")["acme"]
            factor = speeds["acme"].median / speeds["map"].median
            rows.append(
                [
                    _duration(each) if each >= 1 else f"{1000 * each:.0f} ms",
                    _spaced(n_workers),
                    shares["acme"].text(),
                    shares["map"].text(),
                    "–" if real is None else shares["parsl"].text(),
                    f"{factor:.1f}",
                    client.text(),
                ]
            )
            print(" ".join(rows[-1]), flush=True)
    header = [
        "calls of",
        "workers",
        "fraction of time in calls",
        "`Client.map`",
        "Parsl",
        "calls per second, times `Client.map`",
        "cores of client and scheduler",
    ]
    return f"Simulated {today()} on {machine()}.\n\n{markdown_table(header, rows)}"


def _simulated(who: str, n_workers: int, seconds: float, n: int) -> Contender:
    script = (CONTENDERS / "simulation.py").read_text()
    return Contender(who, Path(sys.executable), script, (who, *map(str, (n_workers, seconds, n))))


def _with_parsl(python: Path, n_workers: int, seconds: float, n: int) -> Contender:
    script = (CONTENDERS / "parsl_workers.py").read_text()
    return Contender("parsl", python, script, tuple(map(str, (n_workers, seconds, n))))


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
    options.add_argument("--workers", type=int, nargs="+", help="simulate so many workers")
    options.add_argument(
        "--seconds", type=float, nargs="+", default=list(CALLS), help="run time of simulated calls"
    )
    options.add_argument("--parsl", action="store_true", help="run the calls with Parsl, too")
    options.add_argument("--rounds", type=int, default=3, help="runs of each measurement")
    options.add_argument("--kept", action="store_true", help="reuse the last measurement")
    options.add_argument("--write", action="store_true", help="write the page")
    chosen = options.parse_args()

    if chosen.workers:
        parsl = environment("parsl") if chosen.parsl else None
        simulated = simulate(chosen.workers, chosen.seconds, chosen.rounds, parsl)
        print(simulated)
        if chosen.write:
            put_between_markers(PAGE, "simulation", simulated)
        return
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
