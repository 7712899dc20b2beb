"""Return values that are still to be computed: coroutines and generators, which no result holds."""

from __future__ import annotations

import contextlib
import types
from typing import Any

_ADVICE = {
    types.CoroutineType: (
        "a coroutine, which nothing awaits here. Return its result: asyncio.run(...) around it"
    ),
    types.GeneratorType: (
        "a generator, whose items are not computed yet. Return them: list(...) around it"
    ),
    types.AsyncGeneratorType: (
        "an async generator, whose items are not computed yet. Return them as a list: collect "
        "them in an async function that asyncio.run(...) runs"
    ),
}

UNFINISHED = frozenset(_ADVICE)
"""The types of such values."""


def unfinished_value(value: Any) -> TypeError:
    """Close such a value, and return the error of the call that returned it."""
    # A coroutine that is not closed warns that it "was never awaited" when it is deleted. Closing a
    # generator that has begun runs its `finally` blocks, which may raise.
    with contextlib.suppress(Exception):
        if not isinstance(value, types.AsyncGeneratorType):
            value.close()
    return TypeError(f"the function returned {_ADVICE[type(value)]}.")
