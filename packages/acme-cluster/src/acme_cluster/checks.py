"""Checks of the arguments that the setup functions share; all run before anything is started."""

from __future__ import annotations

import numbers

from acme_cluster.errors import ArgumentTypeError, ArgumentValueError
from acme_cluster.sizes import format_memory, parse_memory

__all__ = ["check_bool", "check_count", "check_memory", "check_seconds"]

# A worker that has done nothing takes about this much, most of it imported code.
_LEAST_MEMORY = 128 * 2**20


def check_count(value: object, name: str, caller: str, *, least: int = 1) -> int:
    """Return a whole number.

    Parameters
    ----------
    value : object
        What the user gave.
    name, caller : str
        Argument and function, for the message.
    least : int, default 1
        Smallest value that is allowed.

    Returns
    -------
    int
        `value`; integers of NumPy become Python's.

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        A fraction, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(
            f"<{caller}> `{name}` has to be a whole number, not {value!r} "
            f"({type(value).__name__}). "
            f"For example: {name}={max(least, 4)}"
        )
    number = float(value)
    if not number.is_integer():
        raise ArgumentValueError(f"<{caller}> `{name}` has to be a whole number, not {value!r}.")
    if number < least:
        raise ArgumentValueError(f"<{caller}> `{name}` has to be at least {least}, not {value!r}.")
    return int(number)


def check_seconds(value: object, name: str, caller: str) -> float:
    """Return a time in seconds.

    Parameters
    ----------
    value : object
        What the user gave.
    name, caller : str
        Argument and function, for the message.

    Returns
    -------
    float
        Seconds, not negative.

    Raises
    ------
    TypeError
        Not a number.
    ValueError
        Negative, or not a number in floating-point terms.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ArgumentTypeError(
            f"<{caller}> `{name}` is a time in seconds, not {value!r} ({type(value).__name__}). "
            f"For example: {name}=60"
        )
    if not float(value) >= 0:
        raise ArgumentValueError(
            f"<{caller}> `{name}` has to be zero or more seconds, not {value!r}."
        )
    return float(value)


def check_bool(value: object, name: str, caller: str) -> bool:
    """Return a truth value.

    Parameters
    ----------
    value : object
        What the user gave.
    name, caller : str
        Argument and function, for the message.

    Returns
    -------
    bool
        `value`.

    Raises
    ------
    TypeError
        Anything else than True and False.
    """
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"<{caller}> `{name}` has to be True or False, not {value!r}.")
    return value


def check_memory(value: object, name: str, caller: str) -> int | None:
    """Return the memory of a worker in bytes.

    Parameters
    ----------
    value : object
        A size such as "8GB", or "auto" or None.
    name, caller : str
        Argument and function, for the message.

    Returns
    -------
    int or None
        Bytes; None if it is to be chosen.

    Raises
    ------
    TypeError
        Neither text nor a number.
    ValueError
        Not a size, or less than a worker that does nothing needs.
    """
    if value is None or value == "auto":
        return None
    try:
        size = parse_memory(value)  # type: ignore[arg-type]
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"<{caller}> `{name}`: {error}") from None
    except ArgumentValueError as error:
        raise ArgumentValueError(f"<{caller}> `{name}`: {error}") from None
    if size < _LEAST_MEMORY:
        raise ArgumentValueError(
            f"<{caller}> `{name}` is {format_memory(size)}, and a worker alone needs "
            f"{format_memory(_LEAST_MEMORY)}. Write the unit as well: {name}='4GB'"
        )
    return size
