"""Charts of a run as inline SVG for an HTML page, without scripts or external files."""

import html
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from acme_io.records.call_record import FAILED

__all__ = ["escaped", "format_bytes", "format_calls", "format_seconds", "histogram", "timeline"]

Array = np.ndarray[Any, Any]

# Lengths are in units of the viewBox, which the page scales to its width of about 960 pixels.
_WIDTH = 960
# Margin for the names of workers: 22 characters of the page's 11-pixel font.
_LEFT = 150
_ROW = 18
_MAX_ROWS = 100
# A bar with its tooltip takes some 100 bytes of the page. Beyond this number of calls a row is a
# curve of columns, 2 units wide, whose size does not depend on the number of calls.
_MAX_BARS = 3000
_COLUMNS = 400
_BINS = 30
_HEIGHT = 140

# Control characters are errors in HTML, and lone surrogates (Python's form of undecodable bytes in
# file names) cannot be encoded as UTF-8.
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def escaped(value: object) -> str:
    """Escape a text for HTML; characters that HTML does not allow become U+FFFD."""
    return html.escape(_FORBIDDEN.sub("\ufffd", str(value)))


def format_seconds(value: float) -> str:
    """Format a duration in seconds, for instance as `"2.5 ms"`."""
    if not np.isfinite(value):
        return "unknown"
    if value >= 120:
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} h" if hours else f"{minutes}:{seconds:02} min"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    return ""


def format_bytes(value: float) -> str:
    """Format a size in bytes, for instance as `"12 MB"`."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} bytes"


def format_calls(count: int) -> str:
    """Format a number of calls, for instance as `"1 call"`."""
    return f"{count} call" if count == 1 else f"{count} calls"


def timeline(
    started: Array, seconds: Array, worker: Array, status: Array, names: Sequence[str]
) -> str:
    """Draw when each worker was busy: one row per worker, one bar per call.

    Parameters
    ----------
    started, seconds, worker, status : numpy.ndarray, shape (n_calls,)
        Columns of a `CallTable`.
    names : sequence of str
        Names of the workers, indexed by `worker`.

    Returns
    -------
    str
        An `svg` element; empty if no call has a recorded time and worker.
    """
    # Failed calls have times too; missing ones have NaN, or -1 as their worker.
    calls = np.flatnonzero(np.isfinite(started) & np.isfinite(seconds) & (worker >= 0))
    rows = list(dict.fromkeys(np.sort(worker[calls]).tolist()))[:_MAX_ROWS]
    if not rows:
        return ""
    begin = float(started[calls].min())
    # Calls may take no measurable time; a nanosecond avoids the division by zero.
    length = max(float((started[calls] + seconds[calls]).max()) - begin, 1e-9)
    scale = (_WIDTH - _LEFT) / length
    drawn = [
        f'<line class="axis" x1="{_LEFT}" y1="{len(rows) * _ROW + 2}" x2="{_WIDTH}" '
        f'y2="{len(rows) * _ROW + 2}"/>'
    ]
    for number, row in enumerate(rows):
        name = names[row] if row < len(names) else f"worker {row}"
        # The end of a name tells workers apart: hosts and ports differ there.
        shown = name if len(name) <= 22 else f"…{name[-21:]}"
        drawn.append(
            f'<text x="{_LEFT - 6}" y="{number * _ROW + 13}" text-anchor="end">{escaped(shown)}'
            f"<title>{escaped(name)}</title></text>"
        )
        of_worker = calls[worker[calls] == row]
        if len(calls) <= _MAX_BARS:
            drawn += _bars(of_worker, number, started - begin, seconds, status, scale)
        else:
            busy = _busy(started[of_worker] - begin, seconds[of_worker], length)
            drawn += _columns(busy, number)
    for part in range(5):
        x = _LEFT + part * (_WIDTH - _LEFT) / 4
        anchor = "end" if part == 4 else "middle" if part else "start"
        drawn.append(
            f'<text x="{x:.0f}" y="{len(rows) * _ROW + 18}" text-anchor="{anchor}">'
            f"{format_seconds(length * part / 4) if part else '0 s'}</text>"
        )
    return _svg(drawn, len(rows) * _ROW + 24, "Calls of each worker over time")


def _bars(
    calls: Array, row: int, starts: Array, seconds: Array, status: Array, scale: float
) -> list[str]:
    # A bar narrower than 0.6 units would be invisible.
    return [
        f'<rect class="{"failed" if status[call] == FAILED else "bar"}" '
        f'x="{_LEFT + starts[call] * scale:.2f}" y="{row * _ROW + 2}" '
        f'width="{max(seconds[call] * scale, 0.6):.2f}" height="{_ROW - 4}">'
        f"<title>call {call}: {format_seconds(float(seconds[call]))}</title></rect>"
        for call in calls.tolist()
    ]


def _busy(starts: Array, seconds: Array, length: float) -> Array:
    """Return the share of each column in which a worker was busy, shape (_COLUMNS,)."""
    edges = np.linspace(0, length, _COLUMNS + 1)
    order = np.argsort(starts)
    begins, lasting = starts[order], seconds[order]
    done = np.concatenate([[0.0], np.cumsum(lasting)])
    # Work done until an edge: all calls started before it, less the rest of the last one. A worker
    # runs one call at a time, so only the last one can still be running.
    before = np.searchsorted(begins, edges, side="right")
    last = np.maximum(before - 1, 0)
    left = np.maximum(begins[last] + lasting[last] - edges, 0) * (before > 0)
    share: Array = np.clip(np.diff(done[before] - left) * _COLUMNS / length, 0, 1)
    return share


def _columns(busy: Array, row: int) -> list[str]:
    width = (_WIDTH - _LEFT) / _COLUMNS
    # Columns overlap by 0.1: renderers smooth edges, which would show as gaps. Shares below half a
    # percent are less than a tenth of a unit high.
    return [
        f'<rect class="bar" x="{_LEFT + at * width:.2f}" width="{width + 0.1:.2f}" '
        f'y="{row * _ROW + 2 + (1 - busy[at]) * (_ROW - 4):.2f}" '
        f'height="{busy[at] * (_ROW - 4):.2f}"/>'
        for at in np.flatnonzero(busy > 0.005).tolist()
    ]


def histogram(values: Array, format_value: Callable[[float], str], label: str) -> str:
    """Draw a histogram, with a logarithmic axis if the values span over two orders of magnitude.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        The values; zeros and NaN are left out.
    format_value : callable
        Formats a value for the axis.
    label : str
        Description for screen readers.

    Returns
    -------
    str
        An `svg` element; empty without values.
    """
    # Zero stands for memory that was not measured, and has no place on a logarithmic axis.
    known = values[np.isfinite(values) & (values > 0)].astype(float)
    if not len(known):
        return ""
    low, high = float(known.min()), float(known.max())
    logarithmic = high > 100 * low
    if low == high:
        low, high = low * 0.9, high * 1.1
    edges = np.geomspace(low, high, _BINS + 1) if logarithmic else np.linspace(low, high, _BINS + 1)
    # NumPy sets the first and last edge to `low` and `high` exactly, so no value falls outside.
    counts, _ = np.histogram(known, edges)
    width, top = (_WIDTH - 40) / _BINS, max(int(counts.max()), 1)
    drawn = [f'<line class="axis" x1="20" y1="{_HEIGHT}" x2="{_WIDTH - 20}" y2="{_HEIGHT}"/>']
    for at, count in enumerate(counts.tolist()):
        height = (_HEIGHT - 16) * count / top
        if count:
            drawn.append(
                f'<rect class="bar" x="{20 + at * width + 1:.1f}" y="{_HEIGHT - height:.1f}" '
                f'width="{width - 2:.1f}" height="{height:.1f}"><title>{format_calls(count)}: '
                f"{format_value(edges[at])} to {format_value(edges[at + 1])}</title></rect>"
            )
    for at, anchor in ((0, "start"), (_BINS // 2, "middle"), (_BINS, "end")):
        drawn.append(
            f'<text x="{20 + at * width:.0f}" y="{_HEIGHT + 15}" text-anchor="{anchor}">'
            f"{escaped(format_value(edges[at]))}</text>"
        )
    scale = ", logarithmic" if logarithmic else ""
    drawn.append(
        f'<text x="{_WIDTH - 20}" y="11" text-anchor="end">'
        f"highest bar: {format_calls(top)}{scale}</text>"
    )
    return _svg(drawn, _HEIGHT + 20, label)


def _svg(drawn: Sequence[str], height: int, label: str) -> str:
    inner = "\n".join(drawn)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escaped(label)}">\n'
        f"{inner}\n</svg>"
    )
