"""The cost of writing and reading result files, compared with plain h5py and esi-acme.

Every row of the first table states a limit. The layouts that users meet first, one file per call
and all calls in one file, are rows of `bench`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contest import (
    CONTENDERS,
    Contender,
    Figures,
    Spread,
    compete,
    environment,
    machine,
    markdown_table,
    spreads,
    today,
)
from rows import Limit, Runs, of_each, ratio

MB_PER_RESULT = 32


@dataclass(frozen=True)
class Entry:
    """A contender, its number of calls, and its number of rounds (`None`: all)."""

    pool: str
    calls: int
    rounds: int | None = None


@dataclass(frozen=True)
class Race:
    """One workload: a function of `contenders/filework.py`, its contenders and limits."""

    name: str
    title: str
    work: str
    calls: int
    rounds: int
    entries: tuple[Entry, ...]
    limits: tuple[Limit, ...]
    quick_calls: int
    in_memory: bool = False
    """Whether files are written to ``/dev/shm``, so that no disk is part of the figure."""

    def contenders(self, peer: Path, quick: bool) -> list[Contender]:
        """Return the contenders; `peer` is an interpreter with esi-acme."""
        script = (CONTENDERS / "filework.py").read_text()
        made = []
        for entry in self.entries:
            calls = min(entry.calls, self.quick_calls) if quick else entry.calls
            python = peer if entry.pool.startswith("esi") else Path(sys.executable)
            arguments = (self.work, entry.pool, str(calls))
            made.append(Contender(entry.pool, python, script, arguments, rounds=entry.rounds))
        return made

    def extrapolated(self, runs: Runs, contenders: list[Contender]) -> dict[str, list[Figures]]:
        """Return the figures with the seconds extrapolated to the race's number of calls."""
        done = {one.name: int(one.arguments[-1]) for one in contenders}
        return {
            name: [
                figures | {"seconds": figures["seconds"] * self.calls / done[name]}
                if "seconds" in figures
                else figures
                for figures in each
            ]
            for name, each in runs.items()
        }


def over(more: str, less: str) -> Limit:
    """Limit the extra time to read stacked rows, compared with one plain dataset."""

    def excess(figures: Figures) -> float:
        return figures[more] - figures[less]

    value = of_each(excess, "acme-stacked")
    return Limit("reading all rows, seconds more than one dataset", value, at_most=0.1, digits=3)


def times(what: str, ours: str, other: str, at_most: float) -> Limit:
    """Limit the ratio of two figures of the same run."""

    def quotient(figures: Figures) -> float:
        return figures[ours] / figures[other]

    return Limit(what, of_each(quotient, "acme-on-disk"), at_most=at_most)


ESI_CALLS = 400
"""Calls of esi-acme; its time per call is constant, so its seconds are extrapolated."""

RACES = (
    Race(
        name="stacked",
        title="10 000 numbers in one dataset (`result_shape`)",
        work="stacked",
        calls=10_000,
        rounds=5,
        entries=(Entry("acme-stacked", 10_000), Entry("esi-acme-stacked", ESI_CALLS, 1)),
        limits=(
            Limit(
                "times faster than esi-acme",
                ratio("esi-acme-stacked", "acme-stacked"),
                at_least=40,
                digits=0,
            ),
            over("read", "contiguous"),
        ),
        quick_calls=2000,
    ),
    Race(
        name="single",
        title="10 000 numbers in one file (`single_file`)",
        work="write",
        calls=10_000,
        rounds=5,
        entries=(Entry("acme-single-file", 10_000), Entry("esi-acme-single-file", ESI_CALLS, 1)),
        limits=(
            Limit(
                "times faster than esi-acme",
                ratio("esi-acme-single-file", "acme-single-file"),
                at_least=40,
                digits=0,
            ),
        ),
        quick_calls=2000,
    ),
    Race(
        name="big",
        title=f"64 arrays of {MB_PER_RESULT} MB, one file per call",
        work="bandwidth",
        calls=64,
        rounds=5,
        entries=(Entry("acme-on-disk", 64), Entry("h5py", 64)),
        limits=(
            Limit("bandwidth / plain h5py", ratio("h5py", "acme-on-disk"), at_least=0.7),
            Limit(
                "worker memory above its initial level, MB",
                of_each(lambda figures: figures["worker_mb"], "acme-on-disk"),
                at_most=150,
                digits=0,
            ),
        ),
        quick_calls=16,
    ),
    Race(
        name="big-in-memory",
        title=f"64 arrays of {MB_PER_RESULT} MB, one file per call, in `/dev/shm`",
        work="bandwidth",
        calls=64,
        rounds=5,
        entries=(Entry("acme-on-disk", 64), Entry("h5py", 64)),
        limits=(Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), at_most=1.3),),
        quick_calls=16,
        in_memory=True,
    ),
    Race(
        name="arrays-in-memory",
        title="2 000 arrays of 80 kB, one file per call, in `/dev/shm`",
        work="arrays",
        calls=2_000,
        rounds=5,
        entries=(Entry("acme-on-disk", 2_000), Entry("h5py", 2_000)),
        limits=(Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), at_most=1.2),),
        quick_calls=500,
        in_memory=True,
    ),
    Race(
        name="dicts-in-memory",
        title="1 000 dicts of ten arrays of 80 kB, in `/dev/shm`",
        work="dicts",
        calls=1_000,
        rounds=5,
        entries=(Entry("acme-on-disk", 1_000), Entry("h5py", 1_000)),
        limits=(
            Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), at_most=1.3),
            Limit("time to read / plain h5py", ratio("acme-on-disk", "h5py", "read"), at_most=1.3),
        ),
        quick_calls=200,
        in_memory=True,
    ),
    Race(
        name="frames-in-memory",
        title="1 000 frames of 10 columns and 10 000 rows, in `/dev/shm`",
        work="frames",
        calls=1_000,
        rounds=5,
        entries=(Entry("acme-on-disk", 1_000), Entry("h5py", 1_000), Entry("to_hdf", 1_000)),
        limits=(
            Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), at_most=1.3),
            Limit("time to read / plain h5py", ratio("acme-on-disk", "h5py", "read"), at_most=1.3),
            Limit("time / `to_hdf`", ratio("acme-on-disk", "to_hdf"), at_most=1),
            Limit("time to read / `read_hdf`", ratio("acme-on-disk", "to_hdf", "read"), at_most=1),
            Limit("size / `to_hdf`", ratio("acme-on-disk", "to_hdf", "kB a call"), at_most=1),
        ),
        quick_calls=200,
        in_memory=True,
    ),
    Race(
        name="read",
        title="reading 10 000 files (`stack`)",
        work="files",
        calls=10_000,
        rounds=3,
        entries=(Entry("acme-on-disk", 10_000),),
        limits=(times("time / a loop over the files", "stack", "loop", 1.2),),
        quick_calls=1000,
    ),
    Race(
        name="merged",
        title="reading 10 000 merged results (`stack`)",
        work="merged",
        calls=10_000,
        rounds=5,
        entries=(Entry("acme-on-disk", 10_000),),
        limits=(times("time / one plain dataset", "stack", "contiguous", 2.0),),
        quick_calls=10_000,
    ),
)


def limits_table(measured: Mapping[Race, Runs]) -> str:
    """Return the table of limits."""
    lines = []
    for race, runs in measured.items():
        for limit in race.limits:
            value = limit.value(runs)
            holds = "yes" if limit.holds(value) else "**no**"
            lines.append([race.title, limit.what, limit.text, value.text(limit.digits), holds])
    return markdown_table(["workload", "figure", "limit", "measured", "met"], lines)


def figures_table(measured: Mapping[Race, Runs]) -> str:
    """Return the table of all figures, with medians and ranges."""
    lines = []
    for race, runs in measured.items():
        for name in dict.fromkeys(key for each in runs.values() for one in each for key in one):
            if name == "exit":
                continue
            for who, spread in spreads(runs, name).items():
                lines.append([race.title, who, name, _shown(spread)])
    return markdown_table(["workload", "contender", "figure", "median (range)"], lines)


def _shown(spread: Spread) -> str:
    return spread.text(1 if spread.median >= 100 else 3 if spread.median >= 0.1 else 5)


def main() -> None:
    """Parse the command line, let the contenders take turns, print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="measure less")
    options.add_argument("--only", nargs="+", metavar="RACE", choices=[r.name for r in RACES])
    options.add_argument("--rounds", type=int, help="runs of each contender")
    options.add_argument("--peer-python", type=Path, help="an interpreter with esi-acme installed")
    chosen = options.parse_args()

    peer = chosen.peer_python or environment("esi-acme")
    measured: dict[Race, Runs] = {}
    for race in RACES:
        if chosen.only and race.name not in chosen.only:
            continue
        print(f"measuring {race.name} …", file=sys.stderr, flush=True)
        contenders = race.contenders(peer, chosen.quick)
        rounds = chosen.rounds or (1 if chosen.quick else race.rounds)
        measured[race] = race.extrapolated(
            compete(
                contenders, rounds, timeout=170, parent=Path("/dev/shm") if race.in_memory else None
            ),
            contenders,
        )
    print(f"Measured {today()} on {machine()}.\n")
    print(limits_table(measured))
    print("Seconds cover the whole workload; for esi-acme, extrapolated from fewer calls.\n")
    print(figures_table(measured))


if __name__ == "__main__":
    main()
