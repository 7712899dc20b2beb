"""A row of the tables: a workload, its contenders and its limits."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import startup
from contest import CONTENDERS, Contender, Figures, Spread

Runs = Mapping[str, Sequence[Figures]]

PEERS = {
    "joblib": ("joblib", "numpy"),
    "mpire": ("mpire", "numpy"),
    "esi-acme": ("esi-acme",),
}
"""Peers that need their own environments; the others come with Python or dask."""


# -- limits ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """A limit on one figure.

    Parameters
    ----------
    what : str
        Description of the figure.
    value : callable
        Computes the figure from the runs of the row.
    at_most, at_least : float, optional
        The limit.
    digits : int
        Number of decimals shown.
    """

    what: str
    value: Callable[[Runs], Spread]
    at_most: float | None = None
    at_least: float | None = None
    digits: int = 2

    def holds(self, value: Spread) -> bool:
        """Return whether the median is within the limit."""
        over = self.at_most is not None and value.median > self.at_most
        return not (over or (self.at_least is not None and value.median < self.at_least))

    @property
    def text(self) -> str:
        """The limit in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}"


def ratio(ours: str, peer: str, figure: str = "seconds") -> Callable[[Runs], Spread]:
    """Return the ratio of the medians of a figure, with the range of the ratios per round."""

    def value(runs: Runs) -> Spread:
        mine = [figures[figure] for figures in runs[ours]]
        other = [figures[figure] for figures in runs[peer]]
        if len(other) == 1:
            other *= len(mine)
        pairs = [a / b for a, b in zip(mine, other, strict=False)]
        median = statistics.median(mine) / statistics.median(other)
        return Spread(median, min(pairs), max(pairs), len(pairs))

    return value


def slowest_form(runs: Runs) -> Spread:
    """Microseconds a call of the form that takes longest; the range is that of its runs."""
    return max(_of_forms(runs["acme"]).values(), key=lambda spread: spread.median)


def slowest_form_over(peer: str) -> Callable[[Runs], Spread]:
    """Ratio to a peer of the form whose ratio is worst; the range is that of all forms."""

    def value(runs: Runs) -> Spread:
        ours, theirs = _of_forms(runs["acme"]), _of_forms(runs[peer])
        ratios = [ours[form].median / theirs[form].median for form in ours]
        return Spread(max(ratios), min(ratios), max(ratios), len(ratios))

    return value


def _of_forms(each: Sequence[Figures]) -> dict[str, Spread]:
    forms = [name for name in each[0] if name.startswith("us ")]
    return {form: Spread.of(figures[form] for figures in each) for form in forms}


def of_each(formula: Callable[[Figures], float], name: str = "acme") -> Callable[[Runs], Spread]:
    """Return median and range of a formula over the runs of one contender."""
    return lambda runs: Spread.of(map(formula, runs[name]))


def milliseconds_over(ours: str, peer: str) -> Callable[[Runs], Spread]:
    """Return the time difference between two contenders in milliseconds."""

    def value(runs: Runs) -> Spread:
        pairs = zip(runs[ours], runs[peer], strict=True)
        return Spread.of(1000 * (mine["seconds"] - other["seconds"]) for mine, other in pairs)

    return value


def over_ideal(figures: Figures) -> float:
    """Return the ratio of the run time to the ideal run time."""
    return figures["seconds"] / figures["ideal"]


def memory_over_results(figures: Figures) -> float:
    """Return the client memory beyond the results, in megabytes."""
    return figures["client_mb"] - figures["results_mb"]


# -- rows ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A contender of a row and its share of the work.

    Parameters
    ----------
    pool : str
        A name in `contenders/pools.py`.
    rounds : int, optional
        Number of rounds, if fewer than the row's.
    calls : int, optional
        Number of calls, if fewer than the row's; the seconds are extrapolated.
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
        Name on the command line.
    title : str
        Title in the tables; ``{calls}`` is replaced.
    work : str
        A function in `contenders/race.py`, or ``"startup"``.
    calls : int
        Number of calls.
    rounds : int
        Number of runs of each contender.
    entries : tuple of Entry
        The contenders.
    limits : tuple of Limit
        The limits that the row has to meet.
    quick : callable
        Returns the quick variant of the row.
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
        """Return the contenders; `pythons` are the interpreters with the peers."""
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
        """Return the figures, with the seconds of entries with fewer calls extrapolated."""
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
    """Return entries that run all calls; esi-acme, the slowest, may run fewer rounds."""
    return tuple(Entry(name, esi_acme if name == "esi-acme" else None) for name in names)


def fewer_rounds(of_peers: int) -> tuple[Entry, ...]:
    """Return entries for rows with an ideal time, where peers are for comparison only."""
    return tuple(Entry(name, None if name == "acme" else of_peers) for name in EVERYBODY)


def fewer(rounds: int, slow: Mapping[str, int] | None = None) -> Callable[[Row], Row]:
    """Return a function that shortens a row: fewer rounds, and fewer calls of slow peers."""

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


def memory(what: str, key: str, most: float) -> Limit:
    """Return a limit on memory in megabytes."""
    return Limit(f"{what}, MB", of_each(lambda figures: figures[key]), most, None, 0)


def against_h5py(title: str, work: str, ours: str, theirs: str, most: float, **more: Any) -> Row:
    """Return a row that compares writing results with plain h5py."""
    less = more.pop("quick_calls", more["calls"])
    return Row(
        title=title,
        work=work,
        entries=entries(ours, theirs),
        limits=(Limit("time / plain h5py", ratio(ours, theirs), most),),
        quick=lambda row: replace(row, rounds=1, calls=less),
        **more,
    )
