"""Scalars are decoded as with everything beside them, which may stay in the file."""

import collections
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.values.encoded import EncodedGroup
from acme_io.values.encoding import decode, encode
from acme_io.values.scalar_parts import OMITTED, decode_scalars

Pair = collections.namedtuple("Pair", ["a", "b"])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(),
    st.binary(),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.array),
    st.sampled_from([np.datetime64("2026-01-01"), pd.Timestamp("2026-01-02", tz="UTC"), pd.NaT]),
)
others = st.sampled_from(
    [
        np.arange(3),
        np.zeros((1,)),
        [1, 2, 3],
        ["a", {"b": 1}],
        (1, "a"),
        Pair(1, np.zeros(2)),
        pd.DataFrame({"x": [1, 2]}),
        pd.Series([1.5]),
        np.array(["a", "b"]),
        np.ma.array([1, 2], mask=[True, False]),
    ]
)
values = st.recursive(
    st.one_of(scalars, others),
    lambda one: st.dictionaries(st.text(), one, max_size=4),
    max_leaves=8,
)
returned = st.one_of(
    values, st.tuples(values, values), st.tuples(values, values).map(lambda two: Pair(*two))
)


def model(value: object) -> object:
    """The value with everything but scalars and dicts left out."""
    if isinstance(value, dict):
        return {key: model(one) for key, one in value.items()}
    if isinstance(value, list | tuple | pd.DataFrame | pd.Series):
        return OMITTED
    return value if np.ndim(value) == 0 else OMITTED


def flat(encoded) -> list[np.ndarray | None]:
    arrays: list[np.ndarray | None] = []
    for one in encoded:
        if isinstance(one, EncodedGroup):
            arrays += [None, *flat(one.members.values())]
        else:
            arrays.append(one.array)
    return arrays


@given(value=returned)
def test_scalars_are_those_of_the_whole_value(tools, value) -> None:
    encoded, form = encode(value)
    found = decode_scalars(flat(encoded), form)
    whole = decode(flat(encoded), form)
    several = isinstance(value, tuple) and form["returned"] != "one"
    expected = [model(one) for one in whole] if several else model(whole)
    assert agree(list(found) if several else found, expected)
    assert getattr(found, "_fields", None) == getattr(value, "_fields", None)


def agree(found: object, expected: object) -> bool:
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agree, found, expected))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(agree(found[k], expected[k]) for k in expected)
    if expected is OMITTED or expected is None or expected is pd.NaT:
        return found is expected
    same = bool(found == expected) or (found != found and expected != expected)
    return type(found) is type(expected) and same


WAYS = {
    "per call": StorageOptions(),
    "single file": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 300_000))),
}


@pytest.mark.parametrize("way", WAYS)
def test_large_arrays_stay_in_the_file(run, way, monkeypatch) -> None:
    """A bit that flipped in an array is no obstacle to a table without it."""

    def func(call: int) -> object:
        return np.zeros(300_000), {"mean": call / 2, "trace": np.zeros(9), "note": "é" * call}

    done = run(func, 3, WAYS[way])
    for path in [Path(file) for file in dict.fromkeys(done.files)]:
        content = bytearray(path.read_bytes())
        for at in range(len(content) // 10, len(content), len(content) // 3):
            if not any(content[at - 2000 : at + 2000]):
                content[at] ^= 1
        path.write_bytes(content)
    with acme_io.open_results(done.output_dir) as results:
        table = results.to_pandas()
        assert table["result_1.mean"].tolist() == [0, 0.5, 1]
        assert table["result_1.note"].tolist() == ["", "é", "éé"]
        with pytest.raises(acme_io.AcmeIOError):
            [call.values for call in results]
