"""Which calls of an earlier run are done: their own records have to say so and to match.

A file with the right name is not enough. The run must be one of the same function with the same
options, the same number of calls and the same shared arguments; then each call is compared by its
distributed arguments. Arguments are compared by the summaries that are on record; objects that
have no canonical digest cannot be compared, which is said, and taken as equal.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acme_core.distribution import Distribution
from acme_io import StorageOptions
from acme_io.backend import RunInfo, describe, finished_calls

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumption:
    """An earlier run to go on with.

    Parameters
    ----------
    info : RunInfo
        Its record, with its id and its seed.
    done : list of int
        Calls that need not run again.
    """

    info: RunInfo
    done: list[int]


def find_resumption(
    output_dir: Path,
    name: str,
    info: RunInfo,
    storage: StorageOptions,
    distribution: Distribution,
    *,
    seed_given: bool,
) -> Resumption | None:
    """Look for a run that can be gone on with.

    Parameters
    ----------
    output_dir : Path
        The output directory.
    name : str
        Cleaned name of the function.
    info : RunInfo
        The record of the run as it would be if it were new.
    storage : StorageOptions
        How results are stored.
    distribution : Distribution
        The arguments.
    seed_given : bool
        Whether the user gave the seed.

    Returns
    -------
    Resumption or None
        `None` if there are no results of this function.

    Raises
    ------
    ValueError
        If the results that are there were computed in another way.
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
            f"{', '.join(differences)}. Compute as before, or give another output_dir."
        )
    done = _matching_calls(found.records, distribution)
    earlier = replace(found.run, host=info.host, pid=info.pid, user=info.user)
    return Resumption(earlier, done)


def _differences(earlier: RunInfo, now: RunInfo, *, seed_given: bool) -> list[str]:
    differences = [
        f"{what} ({old!r} there, {new!r} now)"
        for what, old, new in (
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
                f"<ParallelMap> WARNING: `{name}` cannot be compared with that of the earlier run; "
                "it is taken to be the same."
            )
    return differences


def _matching_calls(records: dict[int, dict[str, Any]], distribution: Distribution) -> list[int]:
    names = distribution.template.distributed_names
    done, changed = [], 0
    for call, record in sorted(records.items()):
        items = [column[0] for column in distribution.columns(call, call + 1)]
        now = _plain({name: describe(item) for name, item in zip(names, items, strict=True)})
        if record.get("arguments", {}) == now:
            done.append(call)
        else:
            changed += 1
    if changed:
        logger.warning(
            f"<ParallelMap> WARNING: {changed} calls were computed with other arguments; "
            "they run again."
        )
    return done


def _plain(facts: Any) -> dict[str, Any]:
    """Bring facts to the form that they have after a journey through JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain
