from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cluster import format_memory, parse_memory

UNITS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@given(
    number=st.integers(1, 10**6),
    unit=st.sampled_from([*UNITS, *(u.lower() for u in UNITS)]),
    ending=st.sampled_from(["", "B", "iB", "b"]),
    space=st.sampled_from(["", " "]),
)
def test_all_spellings_of_a_unit_count_in_steps_of_1024(
    number: int, unit: str, ending: str, space: str
) -> None:
    expected = number * 1024 ** UNITS[unit.upper()]
    assert parse_memory(f"{number}{space}{unit}{ending}") == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [("1.5TB", 1536 * 2**30), (".5G", 2**29), ("1500MB", 1500 * 2**20), ("300", 300), (7.2, 8)],
)
def test_fractions_and_plain_numbers(text: object, size: int) -> None:
    assert parse_memory(text) == size  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "GB", "8 XB", "8G8", "-1GB", "0", "nan", "1e3GB", 0, -5])
def test_invalid_sizes_are_value_errors_that_show_valid_forms(text: object) -> None:
    with pytest.raises(ValueError, match="8GB"):
        parse_memory(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, None, [8], b"8GB"])
def test_other_types_are_type_errors(value: object) -> None:
    with pytest.raises(TypeError, match="8GB"):
        parse_memory(value)  # type: ignore[arg-type]


@given(st.integers(1, 2**60))
def test_formatted_sizes_parse_back_to_nearly_the_same(size: int) -> None:
    assert parse_memory(format_memory(size)) == pytest.approx(size, rel=0.06)
