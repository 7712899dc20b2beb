"""Contests: scripts that do the same work with different libraries, measured in turns.

::

    Contender (name, Python, script) ──┐
    Contender ─────────────────────────┼─▶ compete ─▶ figures of each ─▶ Spread ─▶ markdown_table
    Contender ─────────────────────────┘

Each run of a script is a new process in a new folder. The script records figures with
`stopwatch.figure` and `stopwatch.mark` (`contenders/stopwatch.py` is importable by every script);
`compete` adds ``"exit"``, the seconds from process start to its end. All contenders run once
uncounted, which compiles modules and fills file caches. Then they take turns in a random order that
changes every round, so other activity on the machine affects all of them alike.

A peer is installed in its own virtual environment on first use. This module does not judge figures:
limits make sense on an idle machine only.
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
    """One participant: an interpreter and the script it runs.

    Parameters
    ----------
    name : str
        Name shown in tables.
    python : pathlib.Path
        The interpreter.
    script : str
        Source code of the script.
    arguments : tuple of str
        The script's command line.
    environ : mapping of str to str
        Environment variables in addition to those of this process.
    rounds : int, optional
        Maximum number of rounds, for slow contenders.
    terminal : bool
        Whether the output goes to a terminal, which enables progress bars.
    without_shared_memory : bool
        Whether ``/dev/shm`` is too small for large arrays, which then have to go to disk.
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
    """A script failed or timed out; the message holds its output."""


@dataclass(frozen=True)
class Spread:
    """Median and range of a figure over its runs."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return median and range of at least one value."""
        each = sorted(values)
        return cls(statistics.median(each), each[0], each[-1], len(each))

    def text(self, digits: int = 2) -> str:
        """Return ``median (low–high)``, or only the value of a single run."""
        if self.n == 1:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


# -- running ---------------------------------------------------------------------------------


def run_once(
    contender: Contender, number: int = 0, *, timeout: float = 120, parent: Path | None = None
) -> Figures:
    """Run a contender in a new process and a new folder.

    Parameters
    ----------
    contender : Contender
        The contender to run.
    number : int
        Number of the round; the script reads it from the environment variable ``CONTEST_ROUND``.
    timeout : float
        Seconds after which the process and its descendants are killed.
    parent : pathlib.Path, optional
        Parent of the new folder; by default the system's folder for temporary files.

    Returns
    -------
    dict of str to float
        The figures recorded by the script, and ``"exit"``.

    Raises
    ------
    ContenderFailedError
        If the script fails or exceeds `timeout`.
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
    """Let contenders take turns, in a different order each round.

    Parameters
    ----------
    contenders : sequence of Contender
        The contenders, with distinct names.
    rounds : int
        Number of runs of each contender that does not set its own.
    seed : int
        Seed of the random orders.
    warm_up : bool
        Whether each contender runs once uncounted first. Contenders with their own `rounds` are
        too slow for that and are skipped.
    timeout : float
        Time limit of one run in seconds.
    parent : pathlib.Path, optional
        Parent of the contenders' folders, for instance on another file system.

    Returns
    -------
    dict of str to list of dict
        The figures of all runs, by contender name.
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
    """Return median and range of one figure for each contender that recorded it."""
    noted = {
        who: [figures[name] for figures in each if name in figures] for who, each in runs.items()
    }
    return {who: Spread.of(values) for who, values in noted.items() if values}


def _run(
    contender: Contender, script: list[str], work: Path, environ: dict[str, str], timeout: float
) -> tuple[int, str]:
    """Run the process to its end; return its exit code and output."""
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
        # Descendants that are still alive hold the write end of the pipe, and the reader would
        # wait for them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
    return process.returncode, b"".join(printed).decode(errors="replace")


def _read_all(descriptor: int, into: list[bytes]) -> None:
    # On Linux, reading a pseudo-terminal whose last writer has closed raises EIO.
    with open(descriptor, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while chunk := file.read(65536):
            into.append(chunk)


# Mounts a small /dev/shm in a separate mount namespace. Needs no root if the kernel allows
# unprivileged user namespaces.
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
    # A short PATH hides batch systems on this machine. Contenders that need one set PATH in their
    # environ.
    environ = dict(os.environ) | {
        "PATH": str(contender.python.parent),
        "PYTHONPATH": str(CONTENDERS),
        "CONTEST_FIGURES": str(notes),
    }
    # Users have bytecode caches; without them, every process would compile its modules.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ | dict(contender.environ)


# -- peers -----------------------------------------------------------------------------------


def environment(*requirements: str) -> Path:
    """Create a virtual environment with a peer, unless it exists.

    Parameters
    ----------
    *requirements : str
        Requirements for pip, such as ``"esi-acme==2026.6.2"``; the first names the environment.

    Returns
    -------
    pathlib.Path
        The environment's Python.
    """
    folder = ENVIRONMENTS / requirements[0].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"creating an environment with {' '.join(requirements)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "complete").touch()
    return python


def version(python: Path, distribution: str) -> str:
    """Return the version of a distribution installed for the given interpreter."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", code, distribution], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


# -- reporting -------------------------------------------------------------------------------


def machine() -> str:
    """Describe this machine in one line: processor, memory, system, Python; no host name."""
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
    """Return today's date (UTC) in ISO format."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def put_between_markers(page: Path, name: str, text: str) -> None:
    """Replace the text between two markers in a page.

    Parameters
    ----------
    page : pathlib.Path
        A Markdown page with the lines ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
    name : str
        Name in the markers.
    text : str
        The new text.

    Raises
    ------
    ValueError
        If the page lacks these markers.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    before, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} has no lines {begin.strip()!r} and {end.strip()!r}.")
    new = f"{before}{begin}\n{text.strip()}\n\n{end}{after}"
    page.write_text(new, encoding="utf-8")
