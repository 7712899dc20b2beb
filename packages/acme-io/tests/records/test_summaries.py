"""Digests of arguments: equal values have equal ones, everywhere."""

import collections
from typing import NamedTuple

import pytest

from acme_io.records.summaries import describe, digest


def row(*values, fields="a b", name="Row"):
    return collections.namedtuple(name, fields)(*values)


class Row(NamedTuple):
    a: int
    b: str


class Attributes(Row):
    """A named tuple that may hold more than its fields."""


def test_named_tuples_are_compared_by_fields_and_values() -> None:
    assert digest(row(1, "x")) == digest(row(1, "x", name="Other")) == digest(Row(1, "x"))
    different = [row(1, "y"), row(1, "x", fields="a c"), (1, "x"), row(1, ("x",)), ["a", "b"]]
    digests = {digest(value) for value in different}
    assert len(digests) == len(different)
    assert digest(row(1, "x")) not in digests
    assert describe(row(1, "x"))["length"] == 2


@pytest.mark.parametrize("value", [Attributes(1, "x"), row(1, object()), type("T", (tuple,), {})()])
def test_other_tuples_are_not_comparable(value) -> None:
    assert digest(value) is None
