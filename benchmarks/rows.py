"""The works that `bench` measures, who takes part in each, and what has to hold.

A work is a function of `contenders/race.py`; the last row, from the start of the process, is that
of `startup`. All run with two workers, which are up before the clock starts (but in that last row).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import startup
from contest import CONTENDERS, Contender, Figures, Spread

Runs = Mapping[str, Sequence[Figures]]

PEERS = {
    "joblib": ("joblib", "numpy"),
    "mpire": ("mpire", "numpy"),
    "esi-acme": ("esi-acme",),
}
"""Peers that need environments of their own; the others come with Python or with dask."""


# -- limits ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """One thing that has to hold.

    Parameters
    ----------
    what : str
        For readers.
    value : callable
        Makes the figure from the runs of the row.
    at_most, at_least : float, optional
        The limit.
    digits : int
        Decimals that are shown.
    """

    what: str
    value: Callable[[Runs], Spread]
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 2

    def holds(self, value: Spread) -> bool:
        """Whether the median is within the limit."""
        over = self.at_most is not None and value.median > self.at_most
        return not (over or (self.at_least is not None and value.median < self.at_least))

    @property
    def text(self) -> str:
        """The limit in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}"


def ratio(ours: str, peer: str, figure: str = "seconds") -> Callable[[Runs], Spread]:
    """Ratio of the medians of one figure, with the range of the ratios within each round."""

    def value(runs: Runs) -> Spread:
        mine = [figures[figure] for figures in runs[ours]]
        other = [figures[figure] for figures in runs[peer]]
        if len(other) == 1:
            other *= len(mine)
        pairs = [a / b for a, b in zip(mine, other, strict=False)]
        median = statistics.median(mine) / statistics.median(other)
        return Spread(median, min(pairs), max(pairs), len(pairs))

    return value


def of_each(formula: Callable[[Figures], float], name: str = "acme") -> Callable[[Runs], Spread]:
    """Median and range of what a formula makes of each run of one contender."""
    return lambda runs: Spread.of(map(formula, runs[name]))


def milliseconds_over(ours: str, peer: str) -> Callable[[Runs], Spread]:
    """How much longer one takes than the other."""

    def value(runs: Runs) -> Spread:
        pairs = zip(runs[ours], runs[peer], strict=True)
        return Spread.of(1000 * (mine["seconds"] - other["seconds"]) for mine, other in pairs)

    return value


def over_ideal(figures: Figures) -> float:
    """How many times the shortest possible run this one took."""
    return figures["seconds"] / figures["ideal"]


def memory_over_results(figures: Figures) -> float:
    """Megabytes that the client needed besides its results."""
    return figures["client_mb"] - figures["results_mb"]


# -- rows ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """Who takes part in a row, and with how much of the work.

    Parameters
    ----------
    pool : str
        A name of `contenders/pools.py`.
    rounds : int, optional
        Fewer than the others.
    calls : int, optional
        Fewer than the others; its seconds are scaled up.
    """

    pool: str
    rounds: int | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Parameters
    ----------
    name : str
        For the command line.
    title : str
        For readers; ``{calls}`` is put in.
    work : str
        A function of `contenders/race.py`, or ``"startup"``.
    calls : int
        How many.
    rounds : int
        How often each contender runs.
    entries : tuple of Entry
        The contenders.
    limits : tuple of Limit
        What has to hold.
    quick : callable
        Makes the quick variant of the row.
    terminal, without_shared_memory : bool
        As for `contest.Contender`.
    """

    name: str
    title: str
    work: str
    calls: int
    rounds: int
    entries: tuple[Entry, ...]
    limits: tuple[Limit, ...]
    quick: Callable[[Row], Row]
    terminal: bool = False
    without_shared_memory: bool = False

    def contenders(self, pythons: Mapping[str, Path]) -> list[Contender]:
        """Return who takes part, with the interpreters that have the peers."""
        if self.work == "startup":
            return startup.contenders(pythons["esi-acme"])
        script = (CONTENDERS / "race.py").read_text()
        return [
            Contender(
                entry.pool,
                pythons.get(entry.pool, Path(sys.executable)),
                script,
                (self.work, entry.pool, str(entry.calls or self.calls)),
                rounds=entry.rounds,
                terminal=self.terminal,
                without_shared_memory=self.without_shared_memory,
            )
            for entry in self.entries
        ]

    def scaled(self, runs: Runs) -> dict[str, list[Figures]]:
        """Return the figures, the seconds of those who did less multiplied accordingly."""
        factors = {entry.pool: self.calls / (entry.calls or self.calls) for entry in self.entries}
        return {
            name: [
                figures | {"seconds": figures["seconds"] * factors.get(name, 1)}
                if "seconds" in figures
                else figures
                for figures in each
            ]
            for name, each in runs.items()
        }


EVERYBODY = ("acme", "joblib", "futures", "mpire", "Client.map", "esi-acme")


def entries(*names: str, esi_acme: int | None = None) -> tuple[Entry, ...]:
    """Return entries that do all of the work, the slowest in fewer rounds."""
    return tuple(Entry(name, esi_acme if name == "esi-acme" else None) for name in names)


def fewer_rounds(of_peers: int) -> tuple[Entry, ...]:
    """Return entries for rows that are about an ideal: peers run for comparison only."""
    return tuple(Entry(name, None if name == "acme" else of_peers) for name in EVERYBODY)


def fewer(rounds: int, slow: Mapping[str, int] | None = None) -> Callable[[Row], Row]:
    """Make rows quicker: fewer rounds, and fewer calls for those who are slow."""

    def quick(row: Row) -> Row:
        some = tuple(
            replace(
                entry,
                rounds=1 if entry.pool in ("esi-acme", "Client.map") else entry.rounds,
                calls=(slow or {}).get(entry.pool, entry.calls),
            )
            for entry in row.entries
        )
        return replace(row, rounds=rounds, entries=some)

    return quick


ROWS = (
    Row(
        name="trivial-10k",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=10_000,
        rounds=5,
        entries=(
            *entries("acme", "joblib", "futures", "mpire"),
            Entry("Client.map", rounds=1),
            Entry("esi-acme", rounds=1),
        ),
        limits=(
            Limit("times faster than esi-acme", ratio("esi-acme", "acme"), None, 200, 0),
            Limit("time / joblib", ratio("acme", "joblib"), 2.0),
        ),
        quick=fewer(2, slow={"Client.map": 500, "esi-acme": 500}),
    ),
    Row(
        name="trivial-100k",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=100_000,
        rounds=5,
        entries=entries("acme", "joblib", "futures", "mpire"),
        limits=(Limit("time / joblib", ratio("acme", "joblib"), 1.0),),
        quick=fewer(1),
    ),
    Row(
        name="trivial-1m",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=1_000_000,
        rounds=5,
        entries=entries("acme", "joblib", "futures", "mpire"),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 0.5),
            Limit(
                "client's memory above its results, MB", of_each(memory_over_results), 100, None, 0
            ),
        ),
        quick=lambda row: replace(row, rounds=1, entries=entries("acme", "joblib")),
    ),
    Row(
        name="sleeping",
        title="{calls} sleeping calls of 20 ms",
        work="sleeping",
        calls=1000,
        rounds=3,
        entries=fewer_rounds(1),
        limits=(Limit("time / total work over workers", of_each(over_ideal), 1.05),),
        quick=lambda row: replace(row, rounds=1, calls=200, entries=entries("acme", "joblib")),
        terminal=True,
    ),
    Row(
        name="uneven",
        title="{calls} calls of 20 ms, one in a hundred of 2 s",
        work="uneven",
        calls=200,
        rounds=7,
        entries=fewer_rounds(3),
        limits=(Limit("time / greedy list scheduling", of_each(over_ideal), 1.10),),
        quick=lambda row: replace(row, rounds=2, entries=entries("acme")),
    ),
    Row(
        name="shared",
        title="{calls} calls that read one array of 200 MB",
        work="shared",
        calls=64,
        rounds=5,
        entries=entries("acme", "joblib", "mpire", "Client.map", "esi-acme", esi_acme=2),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 1.3),
            Limit(
                "client's memory above the array, MB",
                of_each(lambda f: f["client_mb"]),
                60,
                None,
                0,
            ),
            Limit(
                "memory of both workers above no array, MB (PSS)",
                of_each(lambda f: f["workers_mb"]),
                220,
                None,
                0,
            ),
        ),
        quick=lambda row: replace(
            row, rounds=1, calls=32, entries=entries("acme", "joblib", "esi-acme")
        ),
    ),
    Row(
        name="distinct",
        title="{calls} arrays of 10 MB, one a call",
        work="distinct",
        calls=64,
        rounds=5,
        entries=entries(*EVERYBODY, esi_acme=2),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 1.5),
            Limit(
                "client's memory above the arrays, MB",
                of_each(lambda f: f["client_mb"]),
                100,
                None,
                0,
            ),
        ),
        quick=fewer(1),
    ),
    Row(
        name="distinct-on-disk",
        title="{calls} arrays of 10 MB, `/dev/shm` too small",
        work="distinct",
        calls=64,
        rounds=5,
        entries=entries("acme", "joblib"),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 2.0),
            Limit(
                "client's memory above the arrays, MB",
                of_each(lambda f: f["client_mb"]),
                100,
                None,
                0,
            ),
        ),
        quick=fewer(1),
        without_shared_memory=True,
    ),
    Row(
        name="second",
        title="another run of {calls} calls on the same workers",
        work="second",
        calls=4,
        rounds=5,
        entries=entries("acme", "acme-on-disk", *EVERYBODY[1:], esi_acme=2),
        limits=(
            Limit(
                "milliseconds over `Client.map`",
                milliseconds_over("acme", "Client.map"),
                20,
                None,
                0,
            ),
        ),
        quick=lambda row: replace(row, rounds=1),
    ),
    Row(
        name="files-10k",
        title="{calls} numbers, each in a file of its own",
        work="floats",
        calls=10_000,
        rounds=5,
        entries=entries("acme-on-disk", "h5py"),
        limits=(Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), 1.25),),
        quick=lambda row: replace(row, rounds=1, calls=2000),
    ),
    Row(
        name="files-80kB",
        title="{calls} arrays of 80 kB, each in a file of its own",
        work="arrays",
        calls=4000,
        rounds=5,
        entries=entries("acme-on-disk", "h5py"),
        limits=(Limit("time / plain h5py", ratio("acme-on-disk", "h5py"), 1.2),),
        quick=lambda row: replace(row, rounds=1, calls=1000),
    ),
    Row(
        name="single-10k",
        title="{calls} numbers in one file",
        work="floats",
        calls=10_000,
        rounds=5,
        entries=entries("acme-single-file", "h5py-one-file"),
        limits=(Limit("time / plain h5py", ratio("acme-single-file", "h5py-one-file"), 1.0),),
        quick=lambda row: replace(row, rounds=1),
    ),
    Row(
        name="single-80kB",
        title="{calls} arrays of 80 kB in one file",
        work="arrays",
        calls=1000,
        rounds=7,
        entries=entries("acme-single-file", "h5py-one-file"),
        limits=(Limit("time / plain h5py", ratio("acme-single-file", "h5py-one-file"), 1.5),),
        quick=lambda row: replace(row, rounds=1),
    ),
    Row(
        name="start",
        title="process start to first result, {calls} calls on disk",
        work="startup",
        calls=4,
        rounds=9,
        entries=(),
        limits=(
            Limit("time / esi-acme", ratio("acme", "esi-acme", "results"), 0.6),
            Limit(
                "without TLS: time / esi-acme",
                ratio("acme without TLS", "esi-acme", "results"),
                0.5,
            ),
            Limit("time / plain dask", ratio("acme", "plain dask", "results"), 1.0),
        ),
        quick=lambda row: replace(row, rounds=2),
    ),
)
