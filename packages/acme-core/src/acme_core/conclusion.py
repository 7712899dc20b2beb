"""How a run ends: with its results, or with words on what failed and how to go on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from acme_core.errors import ComputeError

if TYPE_CHECKING:
    from acme_core.run import Run

logger = logging.getLogger(__name__)


def results_or_error(run: Run, on_error: str) -> list[Any]:
    """Return what `ParallelMap.compute` returns, or raise what it raises.

    Parameters
    ----------
    run : Run
        A run that is finished.
    on_error : {"raise", "keep", "stop"}
        As for `ParallelMap.compute`.

    Raises
    ------
    ComputeError
        If calls failed, unless their failures are kept.
    """
    results, failures = run.ledger.results(), run.ledger.failures
    if not failures:
        if run.store is not None:
            logger.info(f"<ParallelMap> INFO: Results are in {run.container or run.output_dir}")
        return results
    from acme_core.failures import summarize

    message = summarize(run.name, run.n_calls, failures, _how_to_go_on(run))
    run.log_failures()
    if on_error == "keep":
        logger.warning(message.replace("<ParallelMap>", "<ParallelMap> WARNING:", 1))
        return results
    raise ComputeError(message, failures, results) from run.ledger.cause


def report_early_end(run: Run, error: BaseException) -> None:
    """Say what is left of a run that was ended from outside."""
    done = run.ledger.n_done
    where = f" and kept in {run.output_dir}" if run.output_dir else ""
    logger.warning(
        f"<ParallelMap> WARNING: the run ended early ({type(error).__name__}). "
        f"{done} of {run.n_calls} calls are done{where}. {_how_to_resume(run)}"
    )


def _how_to_go_on(run: Run) -> list[str]:
    lines = []
    if run.logfile is not None:
        lines.append(f"All messages: {run.logfile}")
    if run.store is not None:
        lines.append(f"Results of the other calls: {run.container or run.output_dir}")
    else:
        lines.append("Results of the other calls: the exception's .results")
    lines.append(
        "To look into it: compute(debug=True) runs the calls here, one after the other. "
        + _how_to_resume(run)
    )
    return lines


def _how_to_resume(run: Run) -> str:
    if run.output_dir is None:
        return "With results on disk a run can be resumed."
    return (
        "To run only what is not done: the same ParallelMap(...) with "
        f"output_dir={run.output_dir!r}, and compute(resume=True)."
    )
