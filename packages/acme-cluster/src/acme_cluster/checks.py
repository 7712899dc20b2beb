"""Checks of arguments that the setup functions share. They run before anything is started."""

from __future__ import annotations

import numbers

from acme_cluster.errors import ArgumentTypeError, ArgumentValueError
from acme_cluster.sizes import format_memory, parse_memory

__all__ = ["check_bool", "check_count", "check_gpus", "check_memory", "check_seconds"]

# Bytes. An idle worker takes about this much, most of it imported code. Less is nearly always a
# missing unit: `mem_per_worker=8` is 8 bytes.
_LEAST_MEMORY = 128 * 2**20


def check_count(value: object, name: str, caller: str, *, least: int = 1) -> int:
    """Return an argument as a whole number.

    Parameters
    ----------
    value : object
        The argument as given.
    name, caller : str
        Names of the argument and of the function, for messages.
    least : int, default 1
        Smallest allowed value.

    Returns
    -------
    int
        `value` as Python's int; NumPy integers and whole floats are converted.

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        A fraction, or less than `least`.
    """
    # `numbers.Real` includes NumPy's scalars; bool is a subclass of int.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(
            f"<{caller}> `{name}` must be a whole number, not {value!r} "
            f"({type(value).__name__}). "
            f"For example: {name}={max(least, 4)}"
        )
    # 4.0 is taken for 4: results of a division are often passed here.
    number = float(value)
    if not number.is_integer():
        raise ArgumentValueError(f"<{caller}> `{name}` must be a whole number, not {value!r}.")
    if number < least:
        raise ArgumentValueError(f"<{caller}> `{name}` must be at least {least}, not {value!r}.")
    return int(number)


def check_gpus(value: object, caller: str) -> int:
    """Return `gpus_per_worker` as a whole number.

    Parameters
    ----------
    value : object
        The argument as given.
    caller : str
        Name of the function, for messages.

    Returns
    -------
    int
        GPUs of each worker; 0 for None: devices are then left as they are.

    Raises
    ------
    TypeError, ValueError
        As for :func:`check_count`.
    """
    return 0 if value is None else check_count(value, "gpus_per_worker", caller, least=0)


def check_seconds(value: object, name: str, caller: str) -> float:
    """Return an argument as a time in seconds.

    Parameters
    ----------
    value : object
        The argument as given.
    name, caller : str
        Names of the argument and of the function, for messages.

    Returns
    -------
    float
        Seconds, zero or more.

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Negative or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(
            f"<{caller}> `{name}` must be a time in seconds, not {value!r} "
            f"({type(value).__name__}). For example: {name}=60"
        )
    # This way round NaN fails as well. Infinity passes: it means to wait for ever.
    if not float(value) >= 0:
        raise ArgumentValueError(
            f"<{caller}> `{name}` must be zero or more seconds, not {value!r}."
        )
    return float(value)


def check_bool(value: object, name: str, caller: str) -> bool:
    """Return an argument that must be True or False.

    Parameters
    ----------
    value : object
        The argument as given.
    name, caller : str
        Names of the argument and of the function, for messages.

    Returns
    -------
    bool
        `value`.

    Raises
    ------
    TypeError
        Neither True nor False.
    """
    # No truth values: `interactive="no"` would be true.
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"<{caller}> `{name}` must be True or False, not {value!r}.")
    return value


def check_memory(value: object, name: str, caller: str) -> int | None:
    """Return a worker's memory in bytes.

    Parameters
    ----------
    value : object
        A size such as "8GB"; "auto" and None leave the choice to the caller.
    name, caller : str
        Names of the argument and of the function, for messages.

    Returns
    -------
    int or None
        Bytes; None for "auto" and None.

    Raises
    ------
    TypeError
        Neither text nor a number.
    ValueError
        Not a size, or less than an idle worker needs.
    """
    if value is None or value == "auto":
        return None
    try:
        # The messages of `parse_memory` know neither the argument's name nor the function's.
        size = parse_memory(value)  # type: ignore[arg-type]
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"<{caller}> `{name}`: {error}") from None
    except ArgumentValueError as error:
        raise ArgumentValueError(f"<{caller}> `{name}`: {error}") from None
    if size < _LEAST_MEMORY:
        raise ArgumentValueError(
            f"<{caller}> `{name}` is {format_memory(size)}, but an idle worker needs "
            f"{format_memory(_LEAST_MEMORY)}. Add the unit: {name}='4GB'"
        )
    return size
