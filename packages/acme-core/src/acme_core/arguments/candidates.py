"""Candidates: arguments that are distributed if their length is the number of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acme_core.arguments.lazy_types import is_array, is_series
from acme_core.arguments.markers import EachMark, SharedMark
from acme_core.arguments.suggestions import suggestions
from acme_core.arguments.value_kinds import candidate_length, is_indexable

ArgumentKey = int | str
"""The place of an argument: a position, or a keyword."""


def length_of(value: Any, default: Any) -> int | None:
    """Return the length of a candidate, -1 for an iterator; `None` for a shared argument."""
    if isinstance(value, EachMark):
        # The length of an iterator is known only after reading all of it.
        return len(value.value) if is_indexable(value.value) else -1
    if isinstance(value, SharedMark):
        return None
    length = candidate_length(value)
    if length is None or _looks_like(value, length, default):
        return None
    return length


def _looks_like(value: Any, length: int, default: Any) -> bool:
    """Whether the default of a parameter shows that a value of this kind is meant as a whole."""
    if is_array(default) or is_series(default):
        return is_array(value) or is_series(value)
    # The same length as the default: a color, a pair of limits.
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple) and len(default) == length
    return False


def common_length(
    arguments: dict[ArgumentKey, Any],
    lengths: dict[ArgumentKey, int],
    names: Mapping[ArgumentKey, str],
) -> int:
    """Return the common length of all candidates; read iterators into lists for that."""
    for place, length in lengths.items():
        if length < 0:
            items = list(arguments[place].value)
            arguments[place] = EachMark(items)
            lengths[place] = len(items)
    found = set(lengths.values())
    if len(found) == 1:
        n_calls = found.pop()
        if n_calls:
            return n_calls
        raise ValueError(
            f"<ParallelMap> nothing to compute: {described(lengths, names)} is empty. "
            "Pass at least one value."
        )
    if not found:
        # The call's number is filled in.
        given = {names[p]: value for p, value in arguments.items() if names[p] != "taskID"}
        lines = [
            "<ParallelMap> automatic input distribution failed: found 0 objects to distribute "
            "among the calls. Please specify n_inputs manually.",
            "To run the same call n times, set n_inputs=n. Lists, tuples, ranges, Series and "
            "one-dimensional arrays are distributed by default"
            + ("; these arguments are not:" if given else "."),
        ]
        raise ValueError("\n  ".join(["\n".join(lines), *suggestions(given)]))
    raise ValueError(
        f"<ParallelMap> automatic input distribution failed: found {len(lengths)} objects "
        f"containing {min(found)} to {max(found)} elements. Please specify n_inputs manually.\n"
        f"The objects and their lengths: {described(lengths, names)}.\n"
        "Or mark the arguments: each(x) gives one element to each call, "
        "shared(x) gives all of x to every call."
    )


def check_lengths(
    n_calls: int,
    lengths: Mapping[ArgumentKey, int],
    marked: Mapping[ArgumentKey, int],
    arguments: Mapping[ArgumentKey, Any],
    names: Mapping[ArgumentKey, str],
) -> None:
    """Raise ValueError if no candidate, or not each ``marked`` one, has one item per call."""
    for place in marked:
        length = lengths[place]
        if length not in (n_calls, -1):
            raise ValueError(
                f"<ParallelMap> No object has required length of {n_calls} matching n_inputs."
                f"\n`{names[place]}`, marked by each(...), has {length} elements "
                f"for {n_calls} calls."
            )
    # Candidates of other lengths are shared if one fits, or if all hold a single element.
    plain = [n for p, n in lengths.items() if p not in marked]
    if marked or n_calls in plain or all(n == 1 for n in plain):
        return
    raise ValueError(
        f"<ParallelMap> No object has required length of {n_calls} matching n_inputs."
        f"\nThe objects and their lengths: {described(lengths, names)}."
        "\nshared(x) gives all of x to every call."
    )


def described(lengths: Mapping[ArgumentKey, int], names: Mapping[ArgumentKey, str]) -> str:
    """Return arguments with their lengths, as text."""
    return ", ".join(f"`{names[place]}` ({length})" for place, length in lengths.items())
