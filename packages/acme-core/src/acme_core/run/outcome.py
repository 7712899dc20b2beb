"""The end of a run: its results, or an error with the failed calls and the next steps."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from acme_core.errors import ComputeError

if TYPE_CHECKING:
    from acme_core.run.run import Run
    from acme_io.backend import Failure

logger = logging.getLogger(__name__)

# Together, these limits keep the message about failed calls on one screen.
_SHOWN_TYPES = 4  # exception types, the most frequent first
_SHOWN_CALLS = 8  # numbers of calls per type
_SHOWN_LINES = 12  # lines per traceback
_SHOWN_WIDTH = 300  # characters per line: a message may hold the text of a whole array


def results_or_error(run: Run, on_error: str) -> list[Any] | None:
    """Return the results of a finished run, or raise `ComputeError`.

    Returns
    -------
    list or None
        The results of `compute`; `None` if the calls were taken as they ended.

    Raises
    ------
    ComputeError
        If calls failed, unless ``on_error`` is "keep".
    """
    results, failures = run.call_states.results(), run.call_states.failures
    if not failures:
        if run.store is not None:
            logger.info(f"<ParallelMap> INFO: Results are in {run.container or run.output_dir}")
        return results
    message = summarize(run.name, run.n_calls, failures, _next_steps(run))
    run.log_failures()
    if on_error == "keep":
        logger.warning(message.replace("<ParallelMap>", "<ParallelMap> WARNING:", 1))
        return results
    raise ComputeError(message, failures, results) from run.call_states.cause


def report_early_end(run: Run, error: BaseException) -> None:
    """Log which results of a run are kept that Ctrl-C, a signal or an error ended."""
    done = run.call_states.n_done
    where = f" and kept in {run.output_dir}" if run.output_dir else ""
    # A generator is closed when its loop is left, whatever the reason.
    left = isinstance(error, GeneratorExit)
    reason = "the loop over its calls was left" if left else type(error).__name__
    logger.warning(
        f"<ParallelMap> WARNING: the run ended early ({reason}). "
        f"{done} of {run.n_calls} calls are done{where}. {_how_to_resume(run)}"
    )


def _next_steps(run: Run) -> list[str]:
    lines = []
    if run.logfile is not None:
        lines.append(f"All messages: {run.logfile}")
    if run.store is not None:
        lines.append(f"Results of the other calls: {run.container or run.output_dir}")
    elif run.ended is not None:
        lines.append("Results of the other calls: as_completed() has returned them.")
    else:
        lines.append("Results of the other calls: the exception's .results")
    lines.append(
        "To debug: compute(debug=True) runs the calls in this process, one after the other. "
        + _how_to_resume(run)
    )
    return lines


def _how_to_resume(run: Run) -> str:
    if run.output_dir is None:
        return "A run can be resumed if its results are on disk."
    return (
        "To run the remaining calls: the same ParallelMap(...) with "
        f"output_dir={run.output_dir!r}, and compute(resume=True)."
    )


def summarize(
    name: str, n_calls: int, failures: Mapping[int, Failure], next_steps: list[str]
) -> str:
    """Return a message about the failed calls that fits on one screen.

    ``name`` is that of the function; ``next_steps`` are lines to append.
    """
    # Per exception type: a million failures mostly have few reasons.
    groups: dict[str, list[int]] = defaultdict(list)
    for call in sorted(failures):
        groups[failures[call].type].append(call)
    lines = [f"<ParallelMap> {len(failures)} of {n_calls} calls of {name} failed."]
    for kind, calls in sorted(groups.items(), key=lambda item: -len(item[1]))[:_SHOWN_TYPES]:
        lines += ["", f"{kind} in {_calls(calls)}; in call {calls[0]}:"]
        lines += _shortened(failures[calls[0]].traceback)
    if len(groups) > _SHOWN_TYPES:
        lines += ["", f"... and {len(groups) - _SHOWN_TYPES} more exception types"]
    return "\n".join([*lines, "", *next_steps])


def _calls(calls: list[int]) -> str:
    shown = ", ".join(map(str, calls[:_SHOWN_CALLS]))
    more = ", ..." if len(calls) > _SHOWN_CALLS else ""
    return f"{len(calls)} call{'s' if len(calls) > 1 else ''} ({shown}{more})"


def _shortened(trace: str) -> list[str]:
    # Both ends: the user's own call is at the top of a traceback, the error at the bottom.
    lines = [_cut(line) for line in trace.rstrip().splitlines()]
    hidden, half = len(lines) - _SHOWN_LINES, _SHOWN_LINES // 2
    if hidden > 0:
        lines = [*lines[:half], f"  ... {hidden} lines in the log ...", *lines[-half:]]
    return ["    " + line for line in lines]


def _cut(line: str) -> str:
    """Cut a long line after a word, keeping its indentation (`textwrap.shorten` drops it)."""
    if len(line) <= _SHOWN_WIDTH:
        return line
    head, _, _ = line[: _SHOWN_WIDTH - 1].rpartition(" ")
    return f"{head.rstrip() or line[: _SHOWN_WIDTH - 2]} …"
