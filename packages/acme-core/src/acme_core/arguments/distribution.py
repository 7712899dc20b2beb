"""Which argument goes to which call: pure Python, knows nothing of workers.

::

    func, args, kwargs, n_inputs
        │  distribute: candidates, their lengths, what the user marked
        ▼
    Distribution ── template: where each value goes, the shared values     (once per run)
                 └─ columns(a, b): items of the calls a … b-1              (once per batch)

A `CallTemplate` and the columns of a batch are all that a worker needs to make the arguments of
each of its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acme_core.arguments.lazy_types import is_array, loaded_types
from acme_core.arguments.markers import (
    EachMark,
    IteratorSource,
    Marked,
    SequenceSource,
    SharedMark,
    candidate_length,
    h5_objects,
    is_indexable,
    is_real_number,
    memory_size,
    unreadable_h5,
)
from acme_core.arguments.signatures import CallSignature

ArgumentKey = int | str
"""Where an argument goes: a position, or a keyword."""


@dataclass(frozen=True)
class CallTemplate:
    """How the arguments of one call are put together.

    Parameters
    ----------
    n_positional : int
        How many arguments go by position.
    shared : dict
        Values that every call gets whole, by place.
    places : tuple
        Where the items of the distributed arguments go, in the order of the columns.
    names : mapping
        Parameter names by place, of shared and distributed arguments.
    task_id : int or str or None
        Where the number of the call goes.
    rng : str or None
        Keyword that gets a random generator made for the call.
    """

    n_positional: int
    shared: Mapping[ArgumentKey, Any] = field(repr=False)
    places: tuple[ArgumentKey, ...]
    names: Mapping[ArgumentKey, str]
    task_id: ArgumentKey | None = None
    rng: str | None = None

    @property
    def distributed_names(self) -> list[str]:
        """Parameter names of the distributed arguments, in the order of the columns."""
        return [self.names[place] for place in self.places]


@dataclass(frozen=True)
class Distribution:
    """The arguments of all calls of one run."""

    n_calls: int
    template: CallTemplate
    sources: tuple[SequenceSource | IteratorSource, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def exhausted(self) -> bool:
        """Whether some items come from an iterator that was read from already."""
        return any(isinstance(s, IteratorSource) and s.started for s in self.sources)

    @property
    def reads_iterators(self) -> bool:
        """Whether items are read while the run goes on, in call order and only once."""
        return any(isinstance(s, IteratorSource) for s in self.sources)

    def with_items_read(self) -> Distribution:
        """Return the same with all items read from their iterators."""
        sources = tuple(
            SequenceSource(s.items(0, self.n_calls)) if isinstance(s, IteratorSource) else s
            for s in self.sources
        )
        return replace(self, sources=sources)

    def sizes(self) -> dict[str, int]:
        """Memory that each argument takes, in bytes, by parameter name or place."""
        names, placed = self.template.names, dict(self.template.shared)
        for place, source in zip(self.template.places, self.sources, strict=True):
            if isinstance(source, SequenceSource):
                placed[place] = source.value
        return {names[place]: memory_size(value) for place, value in placed.items()}

    def columns(self, start: int, stop: int) -> tuple[Sequence[Any], ...]:
        """Items of the calls ``start`` to ``stop - 1``, one sequence per distributed argument."""
        return tuple(source.items(start, stop) for source in self.sources)

    def peek(self, call: int) -> tuple[Sequence[Any], ...]:
        """Items of one call ahead of the run; what can be read only once stays there for it.

        Parameters
        ----------
        call : int
            Its number, 0 where items are drawn from an iterator.
        """
        return tuple(
            [source.peek()] if isinstance(source, IteratorSource) else source.items(call, call + 1)
            for source in self.sources
        )


def distribute(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    n_inputs: int | str = "auto",
) -> Distribution:
    """Decide which call gets which arguments.

    Parameters
    ----------
    func : callable
        The function to be called.
    args, kwargs
        What the user wants it to be called with.
    n_inputs : int or "auto"
        Number of calls; "auto" takes it from the arguments.

    Returns
    -------
    Distribution

    Raises
    ------
    TypeError
        If ``n_inputs`` is neither a number nor text.
    ValueError
        If the function cannot be called so, or it is not clear how to split up the arguments.
    """
    wanted = _checked_n_inputs(n_inputs)
    signature = CallSignature(func)
    signature.check(args, kwargs)
    arguments: dict[ArgumentKey, Any] = dict(enumerate(args))
    arguments.update(kwargs)
    names: dict[ArgumentKey, str] = dict(enumerate(signature.named(args))) | {k: k for k in kwargs}
    task_id, warnings = _task_id_place(signature, args, kwargs)
    if task_id is not None:
        arguments[task_id] = SharedMark(None)
        names[task_id] = "taskID"

    lengths = {
        place: length
        for place, value in arguments.items()
        if (length := _length(value, signature.default(names[place]))) is not None
    }
    marked = {p: n for p, n in lengths.items() if isinstance(arguments[p], EachMark)}
    n_calls = wanted or _common_length(arguments, lengths, names)
    _check_lengths(n_calls, lengths, marked, arguments, names)

    split = {
        place: _split(value, n_calls, names[place])
        for place, value in arguments.items()
        if isinstance(value, EachMark) or lengths.get(place) == n_calls
    }
    template = CallTemplate(
        n_positional=len(args),
        shared={
            place: value.value if isinstance(value, Marked) else value
            for place, value in arguments.items()
            if place not in split and place != task_id
        },
        places=tuple(split),
        names=names,
        task_id=task_id,
        rng="rng" if "rng" in signature.filled_in(kwargs, len(args)) else None,
    )
    _refuse_shared_generators(template)
    _refuse_writable_files(arguments, names)
    return Distribution(n_calls, template, tuple(split.values()), warnings)


def _checked_n_inputs(n_inputs: Any) -> int | None:
    """Return the wanted number of calls, `None` where it follows from the arguments."""
    if isinstance(n_inputs, str):
        if n_inputs == "auto":
            return None
        raise ValueError(f"<ParallelMap> n_inputs must be a number or 'auto', not {n_inputs!r}.")
    if not is_real_number(n_inputs):
        raise TypeError(
            f"<ParallelMap> n_inputs must be a number or 'auto', not {type(n_inputs).__name__}."
        )
    if not float(n_inputs).is_integer() or n_inputs < 1:
        raise ValueError(
            f"<ParallelMap> n_inputs must be a whole number of at least 1, not {n_inputs}."
        )
    return int(n_inputs)


def _task_id_place(
    signature: CallSignature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[ArgumentKey | None, tuple[str, ...]]:
    """Where the call's number goes, and the warning if the user gave a value for it."""
    if "taskID" in signature.filled_in(kwargs, len(args)):
        return "taskID", ()
    warning = (
        "<ParallelMap> WARNING: the value given for `taskID` is not used: "
        "each call gets its own number there."
    )
    if "taskID" in signature.parameters and "taskID" in kwargs:
        return "taskID", (warning,)
    position = signature.position("taskID")
    return (position, (warning,)) if position < len(args) else (None, ())


def _length(value: Any, default: Any) -> int | None:
    """How many calls a value could be split up among; `None` where it goes whole to each."""
    if isinstance(value, EachMark):
        return len(value.value) if is_indexable(value.value) else -1
    if isinstance(value, SharedMark):
        return None
    length = candidate_length(value)
    if length is None or _looks_like(value, length, default):
        return None
    return length


def _looks_like(value: Any, length: int, default: Any) -> bool:
    """Whether the default of a keyword is a whole of the same kind as the value."""
    if is_array(default):
        return is_array(value)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple) and len(default) == length
    return False


def _common_length(
    arguments: dict[ArgumentKey, Any],
    lengths: dict[ArgumentKey, int],
    names: dict[ArgumentKey, str],
) -> int:
    """Find the length that all candidates have; iterators without one are read whole."""
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
            f"<ParallelMap> there is nothing to compute: {_described(lengths, names)} is empty. "
            "Give at least one value."
        )
    if not found:
        raise ValueError(
            "<ParallelMap> automatic input distribution failed: found 0 objects to be split up "
            "among calls. Please specify n_inputs manually.\n"
            "To run the same call n times give n_inputs=n. Lists, tuples, ranges and "
            "one-dimensional arrays are split up by themselves, anything else with each(...)."
        )
    raise ValueError(
        f"<ParallelMap> automatic input distribution failed: found {len(lengths)} objects "
        f"containing {min(found)} to {max(found)} elements. Please specify n_inputs manually.\n"
        f"The objects and their lengths: {_described(lengths, names)}.\n"
        "Or say it per argument: each(x) hands one element to each call, "
        "shared(x) hands the whole of x to every call."
    )


def _check_lengths(
    n_calls: int,
    lengths: Mapping[ArgumentKey, int],
    marked: Mapping[ArgumentKey, int],
    arguments: Mapping[ArgumentKey, Any],
    names: Mapping[ArgumentKey, str],
) -> None:
    for place in marked:
        length = lengths[place]
        if length not in (n_calls, -1):
            raise ValueError(
                f"<ParallelMap> No object has required length of {n_calls} matching n_inputs."
                f"\neach(...) was given for `{names[place]}`, which has {length} elements "
                f"for {n_calls} calls."
            )
    plain = [n for p, n in lengths.items() if p not in marked]
    if marked or n_calls in plain or all(n == 1 for n in plain):
        return
    raise ValueError(
        f"<ParallelMap> No object has required length of {n_calls} matching n_inputs."
        f"\nThe objects and their lengths: {_described(lengths, names)}."
        "\nshared(x) hands the whole of x to every call."
    )


def _described(lengths: Mapping[ArgumentKey, int], names: Mapping[ArgumentKey, str]) -> str:
    return ", ".join(f"`{names[place]}` ({length})" for place, length in lengths.items())


def _split(value: Any, n_calls: int, name: str) -> SequenceSource | IteratorSource:
    if not isinstance(value, EachMark):
        return SequenceSource(value.reshape(-1) if is_array(value) else value)
    if is_indexable(value.value):
        return SequenceSource(value.value)
    return IteratorSource(value.value, n_calls, name)


def _refuse_writable_files(
    arguments: Mapping[ArgumentKey, Any], names: Mapping[ArgumentKey, str]
) -> None:
    """Refuse HDF5 objects that workers could not open for reading."""
    for place, value in arguments.items():
        inner = value.value if isinstance(value, Marked) else value
        for item in h5_objects(inner):
            reason = unreadable_h5(item)
            if reason:
                raise ValueError(f"<ParallelMap> the object for `{names[place]}` {reason}")


def _refuse_shared_generators(template: CallTemplate) -> None:
    generators = loaded_types("numpy.random", "Generator", "RandomState")
    for place, value in template.shared.items():
        if isinstance(value, generators):
            raise ValueError(
                f"<ParallelMap> `{template.names[place]}` is a random generator, which every call "
                "would get alike, so that all draw the same numbers. Leave it out and name the "
                "parameter `rng`: each call then gets a generator of its own, "
                "and compute(seed=...) repeats a run."
            )
