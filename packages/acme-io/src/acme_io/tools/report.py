"""The report: one HTML page about a run, with its times, memory and failures.

The page is self-contained: charts are inline SVG, it has no script, and it loads nothing.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from acme_io import layout
from acme_io.errors import AcmeIOError, ResultsExistError
from acme_io.files import atomic
from acme_io.records.call_record import STATUS_NAMES, Failure
from acme_io.results.results import Results, open_results
from acme_io.tools.charts import (
    escaped,
    format_bytes,
    format_calls,
    format_seconds,
    histogram,
    timeline,
)

__all__ = ["write_report"]

# How an earlier report is recognized: only such a file is replaced. Changing the text would make
# reports of earlier versions look like files of the user.
_MARK = "<!doctype html>\n<!-- report of acme-io -->\n"
_SLOWEST = 10
# Together these keep a page with failures of long tracebacks near 1 MB: 50 texts of 20 000
# characters.
_MAX_FAILURES = 50
_MAX_TEXT = 20_000

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --dim: #666; --line: #ccc; --page: #fff;
  --bar: #3b6ea5; --failed: #c0392b; --box: #f5f5f5; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --dim: #a0a0a0; --line: #555;
  --page: #181818; --bar: #6fa3d8; --failed: #e57368; --box: #242424; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.dim { color: var(--dim); margin-top: 0; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top;
  padding: 0.15rem 1.2rem 0.15rem 0; overflow-wrap: anywhere; } th { font-weight: 600; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--dim); }
.bar { fill: var(--bar); } .failed { fill: var(--failed); } .axis { stroke: var(--line); }
pre { background: var(--box); padding: 0.8rem; overflow-x: auto; font-size: 0.85rem; }
details { margin: 0.6rem 0; } summary { cursor: pointer; }
"""


def write_report(
    results_path: str | os.PathLike[str], target: str | os.PathLike[str] | None = None
) -> Path:
    """Write one self-contained HTML page about a run.

    Parameters
    ----------
    results_path : path_like
        A container, an output directory or a payload folder.
    target : path_like, optional
        The page, or an existing folder for it. By default the page lies beside the container and
        is named `f_report.html` for a function `f`. An earlier report is replaced; any other file
        is not.

    Returns
    -------
    pathlib.Path
        Absolute path of the page.

    Raises
    ------
    FileNotFoundError, UnknownFileError, DamagedFileError
        As for `acme_io.open_results`.
    ResultsExistError
        The target is an existing file other than a report.
    OSError
        The page cannot be written.
    """
    with open_results(results_path) as results:
        goal = _target_path(results, target)
        page = _page(results)
    # Lone surrogates are gone already where texts are escaped; "replace" is for any that are not.
    atomic.write_whole(goal, [page.encode("utf-8", "replace")])
    return goal


def _target_path(results: Results, target: str | os.PathLike[str] | None) -> Path:
    name = layout.report_name(results._source.name)
    goal = results.path.parent if target is None else Path(target)
    if goal.is_dir():
        goal = goal / name
    goal = goal.absolute()
    # Checked before the page is made, which reads a call's file for each of the slowest calls.
    if os.path.lexists(goal):
        with open(goal, "rb") as file:
            if file.read(len(_MARK)) != _MARK.encode():
                raise ResultsExistError(
                    f"{goal} exists and is not a report of acme-io, so it is not overwritten. "
                    "Choose another name."
                )
    return goal


def _page(results: Results) -> str:
    run = results.run
    title = f"{run.function}: {format_calls(len(results))}"
    sections = [
        f"<h1>{escaped(run.function)}</h1>",
        f'<p class="dim">{escaped(results.path)}</p>',
        _section("Summary", _summary(results)),
        _section("Calls over time", _timeline(results)),
        _section("Run time", histogram(results.table.seconds, format_seconds, "Run time of calls")),
        _section("Memory", _memory(results)),
        _section("Slowest calls", _slowest(results)),
        _section("Failures", _failures(results)),
        _section("Options and versions", _details(results)),
    ]
    body = "\n".join(section for section in sections if section)
    head = (
        f'<html lang="en"><head><meta charset="utf-8"><title>{escaped(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # A second line of defense behind `escaped`: names, arguments and messages are data of
        # others, and with this policy the browser runs and loads nothing, whatever they contain.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'\"><style>{_STYLE}</style></head>"
    )
    return f"{_MARK}{head}\n<body>\n{body}\n</body></html>\n"


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>\n{content}" if content else ""


def _table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), numbers: int = 0) -> str:
    """Return a table whose last `numbers` columns are aligned as numbers."""
    lines = []
    if header:
        lines.append("<tr>" + "".join(f"<th>{escaped(cell)}</th>" for cell in header) + "</tr>")
    for row in rows:
        kinds = [""] * (len(row) - numbers) + [' class="number"'] * numbers
        cells = (f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _summary(results: Results) -> str:
    run, table = results.run, results.table
    counts = Counter(results.status)
    known = table.seconds[np.isfinite(table.seconds)]
    work = float(known.sum())
    rows: list[tuple[str, object]] = [
        ("calls", ", ".join(f"{counts[w]} {w}" for w in STATUS_NAMES if counts[w]) or "none"),
        ("started", _time(run.started)),
        ("ended", _time(results.finished)),
        ("duration", format_seconds(results.finished - run.started)),
        ("total time in calls", format_seconds(work)),
        ("workers", len(table.workers)),
    ]
    if len(known):
        # The median: one stuck call would make the mean useless.
        rows.append(("time per call", f"{format_seconds(float(np.median(known)))} (median)"))
    rows += [
        ("user and host", f"{run.user} on {run.host}"),
        ("seed", run.seed),
        ("run", run.run_id),
    ]
    return _table((topic, fact) for topic, fact in rows if fact is not None)


def _time(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "unknown"
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _timeline(results: Results) -> str:
    table = results.table
    drawn = timeline(table.started, table.seconds, table.worker, table.status, table.workers)
    return drawn or '<p class="dim">The times of the calls are not on record.</p>'


def _memory(results: Results) -> str:
    memory = results.table.peak_memory
    drawn = histogram(memory, format_bytes, "Peak memory of the worker during each call")
    if not drawn:
        return ""
    largest = format_bytes(float(memory.max()))
    note = f"Peak memory of the worker during each call; the largest is {largest}."
    return f'<p class="dim">{note}</p>\n{drawn}'


def _slowest(results: Results) -> str:
    table = results.table
    # NaN sorts last, which would put calls without a time on top of the reversed order.
    seconds = np.nan_to_num(table.seconds, nan=-1.0)
    calls = np.argsort(seconds, kind="stable")[::-1][:_SLOWEST]
    rows = []
    for number in (int(call) for call in calls if seconds[call] >= 0):
        worker = int(table.worker[number])
        rows.append(
            (
                number,
                _arguments(results, number),
                table.workers[worker] if 0 <= worker < len(table.workers) else "unknown",
                format_bytes(float(table.peak_memory[number])) if table.peak_memory[number] else "",
                format_seconds(float(seconds[number])),
            )
        )
    header = ("call", "arguments", "worker", "memory", "time")
    return _table(rows, header, numbers=2) if rows else ""


def _arguments(results: Results, call: int) -> str:
    try:
        given = results[call].arguments
    except (AcmeIOError, OSError):  # its file is gone; the rest of the page is still useful
        return "unknown"
    text = ", ".join(f"{name}={_argument(value)}" for name, value in given.items())
    return text if len(text) <= 200 else f"{text[:199]}…"


def _argument(value: object) -> str:
    """Format an argument, or the summary on record of a large one."""
    # `describe` never records a dict by value, so a dict is always a summary.
    if not isinstance(value, dict):
        return repr(value)
    if "value" in value:
        return str(value["value"])
    facts = [str(value[key]) for key in ("shape", "dtype", "length") if key in value]
    return f"<{' '.join([str(value.get('type')).rpartition('.')[2], *facts])}>"


def _failures(results: Results) -> str:
    """List failures by type, most frequent first, with calls and tracebacks."""
    groups: dict[str, list[tuple[int, Failure]]] = {}
    for call, failure in sorted(results.failures.items()):
        groups.setdefault(failure.type, []).append((call, failure))
    parts, left = [], _MAX_FAILURES
    for kind, members in sorted(groups.items(), key=lambda one: -len(one[1])):
        parts.append(f"<h3>{escaped(kind)}, {format_calls(len(members))}</h3>")
        # At least one of every type: a rare exception may be the interesting one.
        shown = members[: max(left, 1)]
        parts += [_failure(call, failure) for call, failure in shown]
        if len(shown) < len(members):
            parts.append(f'<p class="dim">and {format_calls(len(members) - len(shown))} more</p>')
        left -= len(shown)
    return "\n".join(parts)


def _failure(call: int, failure: Failure) -> str:
    first = failure.message.split("\n", 1)[0]
    short = first if len(first) <= 160 else f"{first[:159]}…"
    text = failure.traceback or f"{failure.type}: {failure.message}"
    # The end of a traceback is kept: it names the exception.
    if len(text) > _MAX_TEXT:
        text = f"…{text[-_MAX_TEXT:]}"
    summary = f"call {call}: {escaped(short)}"
    return f"<details><summary>{summary}</summary><pre>{escaped(text)}</pre></details>"


def _details(results: Results) -> str:
    run = results.run
    rows = [(f"option {name}", repr(value)) for name, value in run.options.items()]
    rows += [(f"shared {name}", _argument(value)) for name, value in run.shared.items()]
    rows += [(name, version) for name, version in run.versions.items()]
    return _table([("module", run.module), *rows])
