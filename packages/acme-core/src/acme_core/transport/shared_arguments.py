"""The shared arguments, pickled once per run, before any worker starts.

An argument that cannot be pickled is therefore reported at once, not after a minute in a queue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from acme_core.arguments.signatures import function_name
from acme_core.errors import UnpicklableError
from acme_core.transport import serialization
from acme_core.transport.mapped_arrays import is_mappable

if TYPE_CHECKING:
    from acme_core.arguments.distribution import ArgumentKey, CallTemplate


def pack_shared(func: Callable[..., Any], template: CallTemplate) -> dict[ArgumentKey, Any]:
    """Pack the shared arguments, and check that the function can be pickled as well.

    Returns
    -------
    dict
        The packed values by place. Large arrays are unchanged: they go to their own files
        once the locations of the workers are known.

    Raises
    ------
    UnpicklableError
        If the function or an argument cannot be pickled.
    """
    name = function_name(func)
    shared = {
        place: value if is_mappable(value) else _packed(value, template.names[place], name)
        for place, value in template.shared.items()
    }
    try:
        # The pickle is discarded: the function travels within the `RunContext`, pickled later.
        serialization.dumps(func)
    except Exception as error:
        raise UnpicklableError(
            f"<ParallelMap> {name} cannot be sent to the workers: "
            f"{type(error).__name__}: {error}. Create locks, open files, connections and "
            "generators inside the function instead of using those of the surrounding code; "
            "compute(debug=True) runs it in this process."
        ) from error
    return shared


def _packed(value: Any, parameter: str, name: str) -> Any:
    try:
        return serialization.freeze(value)
    except Exception as error:
        raise UnpicklableError(
            f"<ParallelMap> the argument `{parameter}` of {name} cannot be "
            f"sent to the workers: {type(error).__name__}: {error}. Pass what it is made from, "
            "for example a file name, and create it in the function."
        ) from error


def freeze_where_possible(shared: Mapping[ArgumentKey, Any]) -> dict[ArgumentKey, Any]:
    """Freeze the shared arguments for calls in this process, except those that cannot be pickled.

    Each call gets its own copy of a mutable value, as on a worker. A value that cannot be pickled
    (a lock, a connection) goes to all calls itself, because calls in this process can use it.
    """
    packed = dict(shared)
    for key, value in shared.items():
        with contextlib.suppress(Exception):
            packed[key] = serialization.freeze(value)
    return packed
