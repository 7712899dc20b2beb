"""Decides which calls of an earlier run count as done.

A file with the right name is not enough. The function, options, number of calls and shared
arguments must match those of the earlier run; then the distributed arguments decide for each call.
Arguments are compared by their recorded summaries. Objects without a canonical digest cannot be
compared and count as equal, with a warning.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acme_core.arguments.distribution import Distribution
from acme_io import StorageOptions
from acme_io.backend import RunInfo, finished_calls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acme_io.backend import Finished

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumption:
    """An earlier run to continue.

    Parameters
    ----------
    info : RunInfo
        The record of the earlier run, with its id and seed.
    done : numpy.ndarray of int
        Calls with a matching result, in order.
    """

    info: RunInfo
    done: NDArray[Any]


def find_resumption(
    output_dir: Path,
    name: str,
    info: RunInfo,
    storage: StorageOptions,
    distribution: Distribution,
    *,
    seed_given: bool,
) -> Resumption | None:
    """Find the run to continue.

    Parameters
    ----------
    output_dir : Path
        The output directory.
    name : str
        Name of the function, cleaned for file names.
    info : RunInfo
        The record that a new run would have.
    storage : StorageOptions
        The way of storing results.
    distribution : Distribution
        The arguments.
    seed_given : bool
        Whether the user gave a seed; otherwise the earlier one is used.

    Returns
    -------
    Resumption or None
        `None` if there are no results of this function.

    Raises
    ------
    ValueError
        If the results there come from a different computation.
    """
    found = finished_calls(output_dir, name)
    if found is None:
        return None
    differences = _differences(found.run, info, seed_given=seed_given)
    if found.options != storage:
        differences.append("result_shape, result_dtype, single_file or write_pickle")
    if differences:
        raise ValueError(
            f"<ParallelMap> cannot resume in {output_dir}: the results there differ in "
            f"{', '.join(differences)}. Compute as before, or set another output_dir."
        )
    done = _matching_calls(found, distribution)
    # Id and seed stay those of the earlier run; host, process and user are those that write now.
    # The values of a grid may have changed: calls with other arguments run again.
    earlier = replace(found.run, host=info.host, pid=info.pid, user=info.user, grid=info.grid)
    return Resumption(earlier, done)


def _differences(earlier: RunInfo, now: RunInfo, *, seed_given: bool) -> list[str]:
    differences = [
        f"{fact} ({old!r} there, {new!r} now)"
        for fact, old, new in (
            ("the function", earlier.function, now.function),
            ("the number of calls", earlier.n_calls, now.n_calls),
            ("the seed", earlier.seed if seed_given else now.seed, now.seed),
        )
        if old != new
    ]
    old_shared, new_shared = _plain(earlier.shared), _plain(now.shared)
    for name in sorted(old_shared.keys() | new_shared.keys()):
        old, new = old_shared.get(name), new_shared.get(name)
        if old != new:
            differences.append(f"the argument `{name}`")
        elif isinstance(new, dict) and new.get("digest") is None:
            logger.warning(
                f"<ParallelMap> WARNING: `{name}` cannot be compared with its value in the earlier "
                "run; it counts as unchanged."
            )
    return differences


def _matching_calls(found: Finished, distribution: Distribution) -> NDArray[Any]:
    done = found.matching(distribution.template.distributed_names, distribution.columns)
    if changed := len(found.calls) - len(done):
        logger.warning(
            f"<ParallelMap> WARNING: {changed} of {len(found.calls)} finished calls had other "
            "arguments in the earlier run and run again."
        )
    return done


def _plain(facts: Any) -> dict[str, Any]:
    """Return facts after a round trip through JSON, for comparison with recorded ones."""
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain
