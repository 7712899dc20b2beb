"""What travels once per run, packed before any worker starts: errors come out in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from acme_core import transport
from acme_core.errors import UnpicklableError
from acme_core.mapped import is_mappable
from acme_core.signatures import function_name

if TYPE_CHECKING:
    from acme_core.distribution import CallTemplate, Place


def packed_shared(func: Callable[..., Any], template: CallTemplate) -> dict[Place, Any]:
    """Pack the shared arguments, and check that the function can travel as well.

    Parameters
    ----------
    func : callable
        The user's function.
    template : CallTemplate
        Holds the shared arguments.

    Returns
    -------
    dict
        The packed values by place. Large arrays are left as they are: they go to files of their
        own once it is known where the workers are.

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
        transport.dumps(func)
    except Exception as error:
        raise UnpicklableError(
            f"<ParallelMap> {name} cannot be sent to the workers: "
            f"{type(error).__name__}: {error}. Make locks, open files, connections and "
            "generators inside the function instead of using those of the surrounding code; "
            "compute(debug=True) runs it here."
        ) from error
    return shared


def _packed(value: Any, parameter: str, name: str) -> Any:
    try:
        return transport.frozen(value)
    except Exception as error:
        raise UnpicklableError(
            f"<ParallelMap> the argument `{parameter}` of {name} cannot be "
            f"sent to the workers: {type(error).__name__}: {error}. Pass what it is made from, "
            "for example a file name, and make it in the function."
        ) from error
