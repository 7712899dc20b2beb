"""Conversion between memory sizes as people and SLURM write them, and bytes."""

from __future__ import annotations

import math
import re

from acme_cluster.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["format_memory", "parse_memory"]

# Powers of 1024. SLURM counts in steps of 1024 whatever the spelling (sbatch manual, --mem:
# "[K|M|G|T]"), and sizes given here are sent to SLURM, so they must mean the same. dask's
# `parse_bytes` takes "8GB" for 8 * 1000**3.
_STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGTP]?)(?:IB|B)?\s*", re.IGNORECASE)
_FORMS = 'Write it like "8GB", "8G", "8GiB", "1500MB" or "1.5TB", or as a number of bytes.'


def parse_memory(text: str | int | float) -> int:
    """Convert a memory size to bytes.

    Parameters
    ----------
    text : str or int or float
        `"8GB"`, `"8G"` and `"8GiB"` are equal: all units count in steps of 1024, as in SLURM. A
        number, with or without quotes, is bytes.

    Returns
    -------
    int
        Bytes, rounded up, at least 1.

    Raises
    ------
    TypeError
        `text` is neither a string nor a number.
    ValueError
        `text` is not a size, or not positive.

    Examples
    --------
    >>> parse_memory("1.5GB") == parse_memory("1536 MiB") == 1536 * 2**20
    True
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ArgumentTypeError(
            f"A memory size cannot be {text!r} ({type(text).__name__}). {_FORMS}"
        )
    if isinstance(text, str):
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ArgumentValueError(f"{text!r} is not a memory size. {_FORMS}")
        number: float = float(match[1]) * 1024 ** _STEPS[match[2].upper()]
    else:
        number = float(text)
    if not math.isfinite(number) or number <= 0:
        raise ArgumentValueError(f"A memory size must be positive, not {text!r}. {_FORMS}")
    return math.ceil(number)


def format_memory(size: int) -> str:
    """Return a size for messages, in the largest unit of which there is at least one.

    Parameters
    ----------
    size : int
        Bytes.

    Returns
    -------
    str
        Such as `"7.8 GB"`; units count in steps of 1024, as in :func:`parse_memory`.

    Examples
    --------
    >>> format_memory(8 * 2**30)
    '8 GB'
    """
    for unit, power in (("PB", 5), ("TB", 4), ("GB", 3), ("MB", 2), ("KB", 1)):
        if size >= 1024**power:
            return f"{size / 1024**power:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} B"
