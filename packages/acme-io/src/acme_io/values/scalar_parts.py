"""The scalars among the values of a call, decoded without the arrays and frames beside them."""

from collections.abc import Iterator, Sequence
from typing import Any

from acme_io.errors import DamagedFileError
from acme_io.values.encoded import Array, Form
from acme_io.values.encoding import MAX_DEPTH, count_places, decode_leaf
from acme_io.values.groups import decode_group
from acme_io.values.nests import make_named_tuple

__all__ = ["OMITTED", "decode_scalars", "may_be_scalar"]

OMITTED = object()
"""Stands for a part that is no scalar."""

_SCALARS = ("bool", "bytes", "complex", "float", "int", "none", "pandas", "scalar", "str")


def may_be_scalar(form: Form, shape: tuple[int, ...] | None = ()) -> bool:
    """Whether a dataset of this form is a scalar: by its form, or as an array by its shape."""
    head = form[0] if isinstance(form, list) else form
    return head in _SCALARS or (head == "array" and shape == ())


def decode_scalars(arrays: Sequence[Array | None], form: dict[str, Form]) -> Any:
    """Restore what a call returned, with `OMITTED` in place of everything but scalars and dicts.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray or None
        As for `acme_io.values.encoding.decode`. Arrays that are no scalars may be missing.
    form : dict
        The form of the call.
    """
    left = iter(arrays)
    values = [_decode_node(left, one) for one in form["values"]]
    if form["returned"] == "one":
        return values[0]
    if "named" in form:
        name, fields = form["named"]
        return make_named_tuple(name, fields, values)
    return tuple(values)


def _decode_node(left: Iterator[Array | None], form: Form, depth: int = 0) -> Any:
    array = next(left)
    if not isinstance(form, dict):
        shape = None if array is None else array.shape
        return decode_leaf(array, form) if may_be_scalar(form, shape) else OMITTED
    # As in `acme_io.values.encoding`: only a file that nobody wrote with `encode` goes deeper.
    if depth > MAX_DEPTH:
        raise DamagedFileError(f"A result has more than {MAX_DEPTH} levels.")
    if form["kind"] != "dict":
        for _ in range(count_places(form) - 1):
            next(left)
        return OMITTED
    members = {name: _decode_node(left, one, depth + 1) for name, one in form["members"].items()}
    return decode_group(form, members)
