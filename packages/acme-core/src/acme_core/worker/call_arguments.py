"""Makes the arguments of each call from the context of a run and the items of a batch.

::

    items of a batch ────────▶ iterator ─┐
    shared, immutable ───────▶ repeat   ─┼─▶ zip ─▶ arguments of call after call
    shared, mutable, copied ─▶ map      ─┤
    taskID ──────────────────▶ count    ─┘

All of these are iterators of Python's own that run in C. The same in Python takes a microsecond for
each argument, as long as a short call.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_core.transport.mapped_arrays import MappedArray
from acme_core.transport.protocol import RunContext
from acme_core.transport.serialization import Frozen

if TYPE_CHECKING:
    from acme_core.arguments.distribution import ArgumentKey


def generator_for(seed: int, call: int) -> np.random.Generator:
    """Return the random generator of a call, which depends only on the seed and its number.

    Parameters
    ----------
    seed : int
        Seed of the run.
    call : int
        Number of the call.

    Returns
    -------
    numpy.random.Generator
        Seeded by child ``call`` of ``numpy.random.SeedSequence(seed)``, as ``spawn`` makes it.
    """
    # `spawn` makes children in order; the key gives any of them directly.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(call,)))


class CallArguments:
    """Makes the arguments of each call of a run, from its context and the items of the call."""

    def __init__(self, context: RunContext) -> None:
        template = context.template
        self._context = context
        self._template = template
        self._distributed_names = template.distributed_names
        self._keywords = {p: v for p, v in context.shared.items() if isinstance(p, str)}
        self._frozen = {
            p: v for p, v in context.shared.items() if isinstance(v, Frozen | MappedArray)
        }
        self._keyword_names = [
            place
            for place in (*self._keywords, *template.places, template.task_id, template.rng)
            if isinstance(place, str)
        ]
        # Keywords that differ from call to call, if only because each call gets its own copy.
        self._varying = {*template.places, *self._frozen, template.task_id, template.rng}
        self._varying &= set(self._keyword_names)

    def for_calls(
        self, first: int, n_calls: int, columns: Sequence[Any]
    ) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Iterate over positional and keyword arguments of the calls of a batch.

        The values of a call are made when it is asked for, without code in Python for each call. An
        error in making them, which only unpickling can raise, ends the iteration.

        Parameters
        ----------
        first, n_calls : int
            The calls.
        columns : sequence
            Their items, one sequence per distributed argument.
        """
        # Here and below, `zip` ends with its shortest argument: those of shared values are endless.
        by_place = dict(zip(self._template.places, columns, strict=True))
        places = range(self._template.n_positional)
        positional = [self._values(place, first, by_place) for place in places]
        args: Iterator[tuple[Any, ...]] = itertools.repeat(())
        if positional:
            args = zip(*positional, strict=False)
        kwargs: Iterator[dict[str, Any]] = itertools.repeat(self._keywords)
        if self._varying:
            values = [self._values(name, first, by_place) for name in self._keyword_names]
            pairs = map(zip, itertools.repeat(self._keyword_names), zip(*values, strict=False))
            kwargs = map(dict, pairs)
        return itertools.islice(zip(args, kwargs, strict=False), n_calls)

    def _values(
        self, place: ArgumentKey, first: int, columns: Mapping[ArgumentKey, Any]
    ) -> Iterator[Any]:
        """Iterate over the values of one argument, from call ``first`` on."""
        template = self._template
        if place in columns:
            return iter(columns[place])
        if place == template.task_id:
            return itertools.count(first)
        if place == template.rng:
            return map(functools.partial(generator_for, self._context.seed), itertools.count(first))
        if place in self._frozen:
            return self._frozen[place].copies()
        return itertools.repeat(self._context.shared[place])

    def items(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return the distributed arguments among the arguments of a call."""
        return [args[p] if isinstance(p, int) else kwargs[p] for p in self._template.places]

    def on_record(self, items: Sequence[Any]) -> dict[str, Any]:
        """Return the distributed arguments of one call by parameter name."""
        return dict(zip(self._distributed_names, items, strict=True))


def first_items(columns: Sequence[Any]) -> list[Any] | None:
    """Return the items of the first call of a batch; `None` if they cannot be unpickled."""
    try:
        return [next(iter(column)) for column in columns]
    except Exception:
        return None
