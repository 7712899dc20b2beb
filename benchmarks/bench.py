"""Measure all rows of the tables in docs/explanation/performance.md, each against its peers.

The figures of each row are stored in ``benchmarks/results``, so rows can be measured one at a time
(``--only``). Once all rows are present, a run without ``--quick`` writes the tables to the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contest import (
    HERE,
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
from rows import EVERYBODY, PEERS, Row
from table import ROWS

import acme_core

RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "explanation" / "performance.md"

FILES = ("floats", "arrays")
"""Workloads that write their results to files."""

NAMES = {
    "acme": "ACME",
    "acme without TLS": "ACME without TLS",
    "futures": "`concurrent.futures`",
    "Client.map": "`Client.map`",
}


def measure(row: Row, pythons: Mapping[str, Path], rounds: int | None) -> dict[str, Any]:
    """Let the contenders of a row take turns; return the figures to store."""
    contenders = row.contenders(pythons)
    # Scripts of the other rows warm up their workers themselves, before they start the clock.
    warm_up = row.work == "startup"
    runs = compete(contenders, rounds or row.rounds, warm_up=warm_up, timeout=170)
    scaled = [entry.pool for entry in row.entries if entry.calls]
    return {"date": today(), "calls": row.calls, "scaled": scaled, "runs": row.scaled(runs)}


def kept(row: Row, quick: bool) -> dict[str, Any] | None:
    """Return the stored figures of a row, or `None`."""
    path = _path(row, quick)
    loaded: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return loaded


def keep(row: Row, quick: bool, measured: dict[str, Any]) -> None:
    """Store the figures of a row."""
    RESULTS.mkdir(exist_ok=True)
    _path(row, quick).write_text(json.dumps(measured, indent=1))


def _path(row: Row, quick: bool) -> Path:
    return RESULTS / f"{'quick-' if quick else ''}{row.name}.json"


# -- tables ----------------------------------------------------------------------------------


def limits_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of limits."""
    lines = []
    for row, each in measured.items():
        for limit in row.limits:
            value = limit.value(each["runs"])
            holds = "yes" if limit.holds(value) else "**no**"
            text = value.text(limit.digits)
            lines.append([_title(row, each), limit.what, limit.text, text, holds])
    return markdown_table(["workload", "figure", "limit", "measured", "met"], lines)


def seconds_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of run times."""
    lines = []
    for row, each in measured.items():
        if row.work in (*FILES, "forms", "startup"):
            continue
        seconds = spreads(each["runs"], "seconds")
        cells = [_seconds(seconds.get(who), who in each["scaled"]) for who in EVERYBODY]
        lines.append([_title(row, each), *cells])
        if "acme-on-disk" in seconds:
            cells = ["–"] * (len(EVERYBODY) - 1)
            title = f"{_title(row, each)}, results on disk"
            lines.append([title, _seconds(seconds["acme-on-disk"]), *cells])
    return markdown_table(["workload", *(NAMES.get(who, who) for who in EVERYBODY)], lines)


def files_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of the times to write files."""
    lines = []
    for row, each in measured.items():
        if row.work in FILES:
            seconds = spreads(each["runs"], "seconds")
            lines.append([_title(row, each), *(_seconds(seconds[e.pool]) for e in row.entries)])
    return markdown_table(["workload", "ACME", "plain h5py"], lines)


def forms_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of the microseconds of a call, by the form of its arguments."""
    (runs,) = (each["runs"] for row, each in measured.items() if row.work == "forms")
    lines = []
    for figure in runs["acme"][0]:
        if figure.startswith("us "):
            told = spreads(runs, figure)
            lines.append([figure[3:], *(f"{told[who].median:.2f}" for who in ("acme", "joblib"))])
    return markdown_table(["form", "ACME", "joblib"], lines)


def memory_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of peak memory in megabytes."""
    figures = {"client_mb": "client", "workers_mb": "both workers"}
    lines = []
    for row, each in measured.items():
        if row.name not in ("trivial-1m", "guide-1m", "shared", "distinct", "distinct-on-disk"):
            continue
        for figure, where in figures.items():
            needed = spreads(each["runs"], figure)
            cells = [f"{needed[who].median:.0f}" if who in needed else "–" for who in EVERYBODY]
            if needed:
                lines.append([f"{_title(row, each)}: {where}", *cells])
    return markdown_table(["workload: process", *(NAMES.get(who, who) for who in EVERYBODY)], lines)


def start_table(measured: Mapping[Row, Mapping[str, Any]]) -> str:
    """Return the table of first runs, timed from process start."""
    runs = next(each["runs"] for row, each in measured.items() if row.work == "startup")
    phases = {"results": spreads(runs, "results"), "exit": spreads(runs, "exit")}
    lines = [
        [NAMES.get(who, who), *(_seconds(phases[phase].get(who)) for phase in phases)]
        for who in runs
    ]
    return markdown_table(["from process start to", "first results", "end of process"], lines)


def _title(row: Row, each: Mapping[str, Any]) -> str:
    return row.title.format(calls=f"{each['calls']:,}".replace(",", " "))


def _seconds(spread: Spread | None, scaled: bool = False) -> str:
    if spread is None:
        return "–"
    value, unit = (spread.median, "s") if spread.median >= 0.1 else (1000 * spread.median, "ms")
    notes = ("¹" if spread.n == 1 else "") + ("²" if scaled else "")
    return f"{value:.3g} {unit}{notes}"


def tables(measured: Mapping[Row, Mapping[str, Any]], versions: str) -> str:
    """Return all tables, preceded by date, machine and versions."""
    dates = sorted({each["date"] for each in measured.values()})
    parts = [
        f"Measured {' to '.join(sorted({dates[0], dates[-1]}))} on {machine()}. {versions}.",
        limits_table(measured),
        "Median time (¹ single run; ² extrapolated from fewer calls):",
        seconds_table(measured),
        "Median time to write results to disk:",
        files_table(measured),
        "Median peak memory, MB above the level before the run:",
        memory_table(measured),
    ]
    if any(row.work == "forms" for row in measured):
        parts += ["Microseconds a call by the form of the arguments:", forms_table(measured)]
    if any(row.work == "startup" for row in measured):
        parts += ["First run of a process, results on disk:", start_table(measured)]
    return "\n\n".join(part.strip() for part in parts)


def versions_of(pythons: Mapping[str, Path]) -> str:
    """Return the versions of ACME, its dependencies and the peers."""
    here = Path(sys.executable)
    ours = [f"acme-core {acme_core.__version__}"]
    ours += [f"{name} {version(here, name)}" for name in ("distributed", "numpy")]
    peers = [f"{name} {version(python, name)}" for name, python in pythons.items()]
    return ", ".join([*ours, *peers])


# -- command line ----------------------------------------------------------------------------


def main() -> None:
    """Parse the command line, measure, print the tables, write the page."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="measure less; do not write the page")
    options.add_argument("--only", nargs="+", metavar="ROW", choices=[row.name for row in ROWS])
    options.add_argument("--rounds", type=int, help="runs of each contender")
    options.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="PEER=PYTHON",
        help="an interpreter with the peer installed",
    )
    chosen = options.parse_args()

    given = dict(pair.split("=", 1) for pair in chosen.peer_python)
    pythons = {
        peer: Path(given[peer]) if peer in given else environment(*requirements)
        for peer, requirements in PEERS.items()
    }
    measured: dict[Row, dict[str, Any]] = {}
    for row in ROWS:
        wanted = row.quick(row) if chosen.quick else row
        if not chosen.only or row.name in chosen.only:
            print(f"measuring {row.name} …", file=sys.stderr, flush=True)
            keep(wanted, chosen.quick, measure(wanted, pythons, chosen.rounds))
        before = kept(wanted, chosen.quick)
        if before is not None:
            measured[wanted] = before
    text = tables(measured, versions_of(pythons))
    print(text)
    if not chosen.quick and len(measured) == len(ROWS):
        put_between_markers(PAGE, "figures", text)


if __name__ == "__main__":
    main()
