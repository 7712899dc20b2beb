"""Contests: scripts that do the same work with different libraries, measured side by side.

::

    Contender (name, Python, script) ──┐
    Contender ─────────────────────────┼─▶ compete ─▶ figures of each ─▶ Spread ─▶ markdown_table
    Contender ─────────────────────────┘

Each run of a script is a process of its own in a folder of its own. It notes its figures by
`stopwatch.figure` and `stopwatch.mark` (see `contenders/stopwatch.py`, which every script can
import); `compete` adds ``"exit"``, the seconds from the start of the process to its end. All
contenders run once before anything counts, so that modules are compiled and files are cached. Then
they take turns, in every round in another order, so that whatever else the machine does meets them
all.

A peer is installed in a virtual environment of its own, made at the first use. Nothing is judged
here: a figure that has to hold belongs to a quiet machine.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / "environments"
CONTENDERS = HERE / "contenders"

Figures = dict[str, float]


@dataclass(frozen=True)
class Contender:
    """Who takes part: a Python and what it runs.

    Parameters
    ----------
    name : str
        How tables call it.
    python : pathlib.Path
        The interpreter.
    script : str
        Source of a script.
    arguments : tuple of str
        The script's command line.
    environ : mapping of str to str
        Environment variables that it gets besides this process's own.
    rounds : int, optional
        Takes part in as many rounds, if that is fewer than there are: for the slow.
    terminal : bool
        Whether its output goes to a terminal, where there are progress bars.
    without_shared_memory : bool
        Whether ``/dev/shm`` has no room, as on machines where large arrays have to go to disk.
    """

    name: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    rounds: int | None = None
    terminal: bool = False
    without_shared_memory: bool = False


class ContenderFailedError(RuntimeError):
    """A script ended with an error; the message holds its output."""


@dataclass(frozen=True)
class Spread:
    """Median and range of a figure over its runs."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return median and range of some values, of which there is at least one."""
        each = sorted(values)
        return cls(statistics.median(each), each[0], each[-1], len(each))

    def text(self, digits: int = 2) -> str:
        """Return ``median (low to high)``; of a single run, the value alone."""
        if self.n == 1:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


# -- running ---------------------------------------------------------------------------------


def run_once(
    contender: Contender, number: int = 0, *, timeout: float = 120, parent: Path | None = None
) -> Figures:
    """Run a contender in a fresh process and a fresh folder.

    Parameters
    ----------
    contender : Contender
        Who runs.
    number : int
        Of the round; the script finds it in the environment variable ``CONTEST_ROUND``.
    timeout : float
        Seconds after which the process, and those that it started, are killed.
    parent : pathlib.Path, optional
        Where its folder is made; by default where the system keeps temporary files.

    Returns
    -------
    dict of str to float
        The figures that it noted, and ``"exit"``.

    Raises
    ------
    ContenderFailedError
        If it ends with an error or not in time.
    """
    with tempfile.TemporaryDirectory(prefix="contest-", dir=parent) as made:
        folder = Path(made)
        script, notes = folder / "script.py", folder / "figures.jsonl"
        work = folder / "work"
        work.mkdir()
        notes.touch()
        script.write_text(contender.script)
        start = time.time()
        environ = _environ(contender, notes) | {
            "CONTEST_ROUND": str(number),
            "CONTEST_START": repr(start),
        }
        returncode, output = _run(contender, [str(script)], work, environ, timeout)
        end = time.time() - start
        if returncode:
            raise ContenderFailedError(f"{contender.name} failed:\n{output}")
        figures: Figures = {}
        for line in notes.read_text().splitlines():
            figures |= json.loads(line)
    return {**figures, "exit": end}


def compete(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    seed: int = 1,
    warm_up: bool = True,
    timeout: float = 120,
    parent: Path | None = None,
) -> dict[str, list[Figures]]:
    """Let contenders take turns, in each round in another order.

    Parameters
    ----------
    contenders : sequence of Contender
        Who takes part. Their names differ.
    rounds : int
        How often each runs, unless it asks for fewer.
    seed : int
        Decides the orders.
    warm_up : bool
        Whether each runs once before, without being counted. Contenders that ask for fewer
        rounds are too slow for that.
    timeout : float
        Seconds that one run may take.
    parent : pathlib.Path, optional
        Where their folders are made, for instance on another file system.

    Returns
    -------
    dict of str to list of dict
        For each contender's name the figures of its runs.
    """
    order = random.Random(seed)
    if warm_up:
        for contender in contenders:
            if contender.rounds is None:
                run_once(contender, timeout=timeout, parent=parent)
    runs: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in order.sample(contenders, len(contenders)):
            if contender.rounds is None or number < contender.rounds:
                figures = run_once(contender, number, timeout=timeout, parent=parent)
                runs[contender.name].append(figures)
    return runs


def spreads(runs: Mapping[str, Sequence[Figures]], name: str) -> dict[str, Spread]:
    """Return median and range of one figure for each contender that noted it."""
    noted = {
        who: [figures[name] for figures in each if name in figures] for who, each in runs.items()
    }
    return {who: Spread.of(values) for who, values in noted.items() if values}


def _run(
    contender: Contender, script: list[str], work: Path, environ: dict[str, str], timeout: float
) -> tuple[int, str]:
    """Run the process to its end; return its exit code and what it printed."""
    command = [str(contender.python), *script, *contender.arguments]
    if contender.without_shared_memory:
        command = [*_SMALL_SHARED_MEMORY, *command]
    ours, theirs = os.openpty() if contender.terminal else os.pipe()
    process = subprocess.Popen(
        command,
        cwd=work,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    printed: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(ours, printed))
    reader.start()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        printed.append(f"\n(killed after {timeout:.0f} s)".encode())
    finally:
        # Whatever it may have left behind holds the other end of its output.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
    return process.returncode, b"".join(printed).decode(errors="replace")


def _read_all(descriptor: int, into: list[bytes]) -> None:
    # A terminal that nobody writes to any more is an error to its reader.
    with open(descriptor, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while chunk := file.read(65536):
            into.append(chunk)


# In a mount namespace of its own, which needs no rights where user namespaces are allowed.
_SMALL_SHARED_MEMORY = (
    "/usr/bin/unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "/bin/sh",
    "-c",
    '/bin/mount -t tmpfs -o size=8m tmpfs /dev/shm && exec "$@"',
    "sh",
)


def _environ(contender: Contender, notes: Path) -> dict[str, str]:
    # All on this machine: a batch system that happens to be installed is not found. (Who is to
    # find it says so in the contender's environ.)
    environ = dict(os.environ) | {
        "PATH": str(contender.python.parent),
        "PYTHONPATH": str(CONTENDERS),
        "CONTEST_FIGURES": str(notes),
    }
    # Modules are compiled once, as for anybody.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ | dict(contender.environ)


# -- peers -----------------------------------------------------------------------------------


def environment(*requirements: str) -> Path:
    """Make a virtual environment that holds a peer, unless it is there already.

    Parameters
    ----------
    *requirements : str
        As for pip, for instance ``"esi-acme==2026.6.2"``; the first one names the environment.

    Returns
    -------
    pathlib.Path
        The environment's Python.
    """
    folder = ENVIRONMENTS / requirements[0].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making an environment with {' '.join(requirements)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "complete").touch()
    return python


def version(python: Path, distribution: str) -> str:
    """Return the version of a distribution, as the given Python has it."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", code, distribution], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


# -- telling ---------------------------------------------------------------------------------


def machine() -> str:
    """Describe this machine in a line: processors, memory, system, Python; no names."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores of {_processor()}, {memory:.0f} GiB of memory, {system}, {python}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def today() -> str:
    """Return today's date (UTC), as tables state it."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns as wide as they need to be."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def put_between_markers(page: Path, name: str, text: str) -> None:
    """Replace what stands between the two markers of that name in a page.

    Parameters
    ----------
    page : pathlib.Path
        A Markdown page with the lines ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
    name : str
        The name.
    text : str
        What is to stand there.

    Raises
    ------
    ValueError
        If the page has no such markers.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    before, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} has no lines {begin.strip()!r} and {end.strip()!r}.")
    new = f"{before}{begin}\n{text.strip()}\n\n{end}{after}"
    page.write_text(new, encoding="utf-8")
