"""The arguments of calls as JSON text: compare many calls without parsing their records.

A resumed run compares its arguments with those on record. Both are the same text, byte for byte, if
their summaries (`acme_io.records.summaries`) are equal. Texts may differ although the summaries are
equal, as `1` and `1.0` do: only then the records have to be parsed.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from acme_io.records.serialization import dumps
from acme_io.records.summaries import LONGEST_TEXT, describe

__all__ = [
    "argument_texts",
    "end_of_record",
    "recorded_arguments",
    "recorded_text",
    "same_arguments",
    "text_digest",
]

_KEY = ',"arguments":'
# Integers beyond this are summarised (`describe`).
_LARGEST = 2**53


def recorded_text(line: str) -> str:
    """Return the JSON text of the arguments in the record of a finished call."""
    # Quotes within texts are escaped, so the first occurrence is the key. In the record of a
    # finished call it is the last one; without the key the call has no distributed arguments.
    at = line.find(_KEY)
    return "{}" if at < 0 else line[at + len(_KEY) : -1]


def end_of_record(text: str) -> str:
    """Return how the record of a finished call ends that has arguments with this JSON text."""
    return f"{_KEY}{text}}}"


def recorded_arguments(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Parse the arguments in the records of finished calls."""
    # One parse for all: a call of the parser takes longer than the arguments of most calls.
    texts = [line.partition(_KEY)[2][:-1] or "{}" for line in lines]
    found: list[dict[str, Any]] = json.loads(f"[{','.join(texts)}]")
    return found


def argument_texts(names: Sequence[str], columns: Sequence[Sequence[Any]], count: int) -> list[str]:
    """Return the JSON text of the arguments of consecutive calls, as their records have it.

    Parameters
    ----------
    names : sequence of str
        Names of the distributed arguments.
    columns : sequence of sequence
        The values of each argument, one per call.
    count : int
        Number of calls.
    """
    if not names:
        return ["{}"] * count
    # The encoder would build and visit a dictionary per call; a pattern takes a fifth of the time.
    entries = [f"{dumps(str(name))}:".replace("%", "%%") + "%s" for name in names]
    pattern = f"{{{','.join(entries)}}}"
    return list(map(pattern.__mod__, zip(*map(_value_texts, columns), strict=True)))


def _value_texts(column: Sequence[Any]) -> Iterable[str]:
    """Return `dumps(describe(value))` of every value."""
    values = list(column)
    kinds = set(map(type, values))
    plain: Callable[[Any], str] | None = None
    if kinds == {int} and min(values) >= -_LARGEST and max(values) <= _LARGEST:
        plain = int.__repr__
    elif kinds == {float} and all(map(math.isfinite, values)):
        plain = float.__repr__
    elif kinds == {str} and all(map(str.isprintable, values)):
        plain = encode_basestring_ascii if max(map(len, values)) <= LONGEST_TEXT else None
    return map(plain or _value_text, values)


def _value_text(value: object) -> str:
    return dumps(describe(value))


def text_digest(text: str) -> int:
    """Return a number of 64 bits, never 0, that stands for the arguments of a call."""
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def same_arguments(text: str, other: str) -> bool:
    """Whether two texts stand for equal arguments."""
    return text == other or bool(json.loads(text) == json.loads(other))
