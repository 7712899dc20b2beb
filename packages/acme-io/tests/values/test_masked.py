"""Masked arrays come back with data, mask and fill value."""

import json

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import acme_io
from acme_io import StorageOptions
from acme_io.hdf5.members import fields_of
from acme_io.values.encoding import decode, encode

PAIRS = [("a", "i4"), ("b", "f8")]
MASKED = [
    np.ma.masked_equal([1, 2, 3], 2),
    np.ma.MaskedArray([1.0, 2.0]),
    np.ma.MaskedArray([1.0, 2.0], mask=True, fill_value=7, hard_mask=True),
    np.ma.masked_equal(np.array([["a", "b"]]), "a"),
    np.ma.MaskedArray([(1, 2.0)], dtype=PAIRS, mask=[(True, False)]),
    np.ma.MaskedArray(np.array(["2020"], "M8[D]"), mask=[True]),
    np.ma.MaskedArray(5, mask=True),
]


@pytest.mark.parametrize("single_file", [False, True])
def test_masked_arrays_come_back(run, tools, single_file: bool) -> None:
    done = run(MASKED.__getitem__, len(MASKED), StorageOptions(single_file=single_file))
    assert not done.notes
    with acme_io.open_results(done.output_dir) as results:
        for call in results:
            assert tools.same(call.values, MASKED[call.index])
    with h5py.File(done.container, "r") as file:
        assert list(file["comp_0/result_0"]) == ["data", "mask", "fill_value"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=hnp.arrays(
        st.sampled_from(["f8", "i2", "?", "U2", "c8", "M8[s]"]),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
    ),
    draw=st.data(),
)
def test_encoding_loses_nothing(tools, data: np.ndarray, draw: st.DataObject) -> None:
    mask = draw.draw(st.one_of(st.none(), hnp.arrays("?", data.shape)))
    value = np.ma.MaskedArray(data, np.ma.nomask if mask is None else mask)
    encoded, form = encode(value)
    assert tools.same(decode(fields_of(encoded)[1], json.loads(json.dumps(form))), value)
