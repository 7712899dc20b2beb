"""Arguments on record become values again where their summary allows it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from acme_io.records.argument_values import argument_value
from acme_io.records.summaries import describe

scalars = npst.arrays(npst.scalar_dtypes(), ()).map(lambda array: array[()])
short = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=100)


@given(value=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), short))
def test_python_values_come_back(tools, value) -> None:
    if isinstance(value, int) and len(str(value)) > 100:
        return
    assert tools.same(argument_value(describe(value)), value)


@given(value=scalars)
def test_numpy_scalars_come_back(tools, value) -> None:
    summary = describe(value)
    if "value" not in summary or value.dtype.kind in "SVU":
        return
    found = argument_value(summary)
    assert found.dtype == value.dtype.newbyteorder("=")
    assert found == value or (found != found and value != value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 3)), "numpy.ndarray of shape (2, 3), <f8"),
        ([1, 2], "list of length 2"),
        ("x" * 300, "str of length 300"),
        (math.sqrt, "builtin_function_or_method"),
        (1j, 1j),
    ],
)
def test_other_arguments_become_short_texts(value, text) -> None:
    assert argument_value(describe(value)) == text


def test_a_subclass_of_a_number_is_its_text() -> None:
    class Level(int):
        def __str__(self) -> str:
            return "high"

    assert argument_value(describe(Level(3))) == "high"
