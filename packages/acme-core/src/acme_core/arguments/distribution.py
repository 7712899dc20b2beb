"""Which argument goes to which call: pure Python without workers or files.

::

    func, args, kwargs, n_inputs
        │  distribute: candidates, their lengths, marked arguments
        ▼
    Distribution ── template: where each value goes, the shared values     (once per run)
                 └─ columns(a, b): items of the calls a … b-1              (once per batch)

From a `CallTemplate` and the columns of a batch, a worker makes the arguments of each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acme_core.arguments.candidates import ArgumentKey, check_lengths, common_length, length_of
from acme_core.arguments.grid import grid_sources
from acme_core.arguments.h5_arguments import h5_objects, unreadable_h5
from acme_core.arguments.lazy_types import is_array, is_frame, is_series, loaded_types
from acme_core.arguments.markers import CrossMark, EachMark, Marked, SharedMark
from acme_core.arguments.signatures import CallSignature
from acme_core.arguments.sources import IteratorSource, RowSource, SequenceSource, SeriesSource
from acme_core.arguments.value_kinds import is_indexable, is_real_number, memory_size

__all__ = ["ArgumentKey", "CallTemplate", "Distribution", "distribute"]

Source = SequenceSource | IteratorSource


@dataclass(frozen=True)
class CallTemplate:
    """The place of each argument in a call.

    Parameters
    ----------
    n_positional : int
        Number of positional arguments.
    shared : mapping
        Shared arguments by place.
    places : tuple
        Places of the distributed arguments, in the order of the columns.
    names : mapping
        Parameter names by place, of shared and distributed arguments.
    task_id : int or str or None
        Place of the call's number, if the function takes it.
    rng : str or None
        Keyword of the call's random generator, if the function takes one.
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
    """The arguments of all calls of one run.

    Parameters
    ----------
    n_calls : int
        Number of calls.
    template : CallTemplate
        The place of each argument, and the shared values.
    sources : tuple
        Where the items of each distributed argument come from, in the order of its places.
    grid : mapping
        The values of each crossed argument by parameter name, the one that varies fastest last;
        empty unless the calls are all their combinations.
    warnings : tuple of str
        Warnings about the arguments.
    """

    n_calls: int
    template: CallTemplate
    sources: tuple[Source, ...]
    grid: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = field(default=())

    @property
    def exhausted(self) -> bool:
        """Whether some items come from an iterator of which items were already read."""
        return any(isinstance(s, IteratorSource) and s.started for s in self.sources)

    @property
    def reads_iterators(self) -> bool:
        """Whether some items are read during the run, in call order and only once."""
        return any(isinstance(s, IteratorSource) for s in self.sources)

    def with_items_read(self) -> Distribution:
        """Return a copy for which all iterators have been read."""
        sources = tuple(
            SequenceSource(s.items(0, self.n_calls)) if isinstance(s, IteratorSource) else s
            for s in self.sources
        )
        return replace(self, sources=sources)

    def sizes(self) -> dict[str, int]:
        """Return the approximate memory of each argument in bytes, by parameter name."""
        names, placed = self.template.names, dict(self.template.shared)
        for place, source in zip(self.template.places, self.sources, strict=True):
            if isinstance(source, SequenceSource):
                placed[place] = source.value
        return {names[place]: memory_size(value) for place, value in placed.items()}

    def columns(self, start: int, stop: int) -> tuple[Sequence[Any], ...]:
        """Return the items of calls ``start`` to ``stop - 1``, one sequence per argument."""
        return tuple(source.items(start, stop) for source in self.sources)

    def peek(self, call: int) -> tuple[Sequence[Any], ...]:
        """Return the items of one call before the run, which can still read all of them.

        Parameters
        ----------
        call : int
            Number of the call; must be 0 if items come from an iterator.
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
        The function to call.
    args, kwargs
        The user's arguments.
    n_inputs : int or "auto"
        Number of calls; "auto" takes it from the arguments.

    Raises
    ------
    TypeError
        If ``n_inputs`` is neither a number nor text.
    ValueError
        If the function does not accept the arguments, or their lengths do not match.
    """
    wanted = _checked_n_inputs(n_inputs)
    signature = CallSignature(func)
    signature.check(args, kwargs)
    arguments: dict[ArgumentKey, Any] = dict(enumerate(args))
    arguments.update(kwargs)
    names: dict[ArgumentKey, str] = dict(enumerate(signature.named(args))) | {k: k for k in kwargs}
    task_id, warnings = _task_id_place(signature, args, kwargs)
    if task_id is not None:
        # Marked as shared: a list given for it must not become a candidate.
        arguments[task_id] = SharedMark(None)
        names[task_id] = "taskID"

    axes = {p: value.value for p, value in arguments.items() if isinstance(value, CrossMark)}
    distributed: Mapping[ArgumentKey, Source]
    if axes:
        _refuse_each(arguments, names)
        n_calls, distributed = grid_sources(axes, names, wanted)
    else:
        n_calls, distributed = _item_by_item(arguments, names, signature, wanted)
    template = CallTemplate(
        n_positional=len(args),
        shared={
            place: value.value if isinstance(value, Marked) else value
            for place, value in arguments.items()
            if place not in distributed and place != task_id
        },
        places=tuple(distributed),
        names=names,
        task_id=task_id,
        rng="rng" if "rng" in signature.filled_in(kwargs, len(args)) else None,
    )
    _refuse_shared_generators(template)
    _refuse_writable_files(arguments, names)
    grid = {names[place]: values for place, values in axes.items()}
    return Distribution(n_calls, template, tuple(distributed.values()), grid, warnings)


def _item_by_item(
    arguments: dict[ArgumentKey, Any],
    names: Mapping[ArgumentKey, str],
    signature: CallSignature,
    wanted: int | None,
) -> tuple[int, dict[ArgumentKey, Source]]:
    """Return the number of calls, and the sources of the arguments that have an item for each."""
    lengths = {
        place: length
        for place, value in arguments.items()
        if (length := length_of(value, signature.default(names[place]))) is not None
    }
    # Before `common_length`, which replaces iterators by lists.
    marked = {p: n for p, n in lengths.items() if isinstance(arguments[p], EachMark)}
    n_calls = wanted or common_length(arguments, lengths, names)
    check_lengths(n_calls, lengths, marked, arguments, names)
    return n_calls, {
        place: _source(value, n_calls, names[place])
        for place, value in arguments.items()
        if isinstance(value, EachMark) or lengths.get(place) == n_calls
    }


def _refuse_each(arguments: Mapping[ArgumentKey, Any], names: Mapping[ArgumentKey, str]) -> None:
    """Raise ValueError if some arguments are marked by `cross` and others by `each`."""
    crossed = [names[p] for p, value in arguments.items() if isinstance(value, CrossMark)]
    for place, value in arguments.items():
        if isinstance(value, EachMark):
            x, y = names[place], crossed[0]
            raise ValueError(
                f"<ParallelMap> `{x}` is marked by each(...) and `{y}` by cross(...), but calls "
                "get either one item each or all combinations. For all combinations, write "
                f"cross(...) for `{x}` as well; to give all of `{x}` to every call, shared(...). "
                f"If `{x}` and `{y}` vary together, write each(...) for both, or pass one argument "
                "that holds pairs: cross(list(zip(a, b)))."
            )


def _checked_n_inputs(n_inputs: Any) -> int | None:
    """Return the number of calls that the user gave, `None` for "auto"."""
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
    """Return the place of the call's number, and a warning if the user gave a value for it."""
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


def _source(value: Any, n_calls: int, name: str) -> Source:
    if not isinstance(value, EachMark):
        # Arrays of shape (n, 1) and (1, n) are distributed as scalars.
        return _sequence_source(value.reshape(-1) if is_array(value) else value)
    if is_indexable(value.value):
        return _sequence_source(value.value)
    return IteratorSource(value.value, n_calls, name)


def _sequence_source(value: Any) -> SequenceSource:
    if is_series(value):
        return SeriesSource(value)
    return RowSource(value) if is_frame(value) else SequenceSource(value)


def _refuse_writable_files(
    arguments: Mapping[ArgumentKey, Any], names: Mapping[ArgumentKey, str]
) -> None:
    """Raise ValueError if workers cannot open an HDF5 object for reading."""
    for place, value in arguments.items():
        inner = value.value if isinstance(value, Marked) else value
        for item in h5_objects(inner):
            reason = unreadable_h5(item)
            if reason:
                raise ValueError(f"<ParallelMap> the HDF5 object for `{names[place]}` {reason}")


def _refuse_shared_generators(template: CallTemplate) -> None:
    # Shared arguments are pickled once: every call would start from the same state.
    generators = loaded_types("numpy.random", "Generator", "RandomState")
    for place, value in template.shared.items():
        if isinstance(value, generators):
            raise ValueError(
                f"<ParallelMap> `{template.names[place]}` is a random generator, of which every "
                "call would get a copy and draw the same numbers. Leave it out and name the "
                "parameter `rng`: each call then gets its own generator, "
                "and compute(seed=...) repeats a run."
            )
