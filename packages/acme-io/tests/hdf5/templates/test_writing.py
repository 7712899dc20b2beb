"""Files made from templates are ordinary HDF5 files to the library."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme_io.hdf5.objects import Field
from acme_io.hdf5.run_file import write_file
from acme_io.hdf5.templates.writing import template_for
from acme_io.records.run_record import RunStamp

DTYPES = ["f8", "<f4", ">f8", "f2", "g", "i1", ">u4", "?", "c16", "F", "S7", "V3"]
STRUCTURED = np.dtype([("a", "i4"), ("b", "?"), ("c", "f8", (2,))])
ATTRIBUTES = (("run", 200), ("calls", 128))


@pytest.mark.parametrize("dtype", [*DTYPES, STRUCTURED])
def test_there_is_a_template_for_every_kind_of_data(dtype) -> None:
    dtype = np.dtype(dtype)
    for shape in [(), (1,), (5,), (2, 3), (2, 3, 4), (1, 2, 3, 4), (0,), (3, 0), None]:
        assert template_for([Field("result_0", dtype, shape)], ATTRIBUTES, 512) is not None


@pytest.mark.parametrize(("rank", "n_arrays"), [(7, 400), (8, 200)])
def test_marks_too_large_for_hdf5_leave_the_file_to_the_library(
    tmp_path: Path, rank: int, n_arrays: int
) -> None:
    fields = [Field(f"result_{i}", np.dtype("f8"), (1,) * rank) for i in range(n_arrays)]
    assert template_for(fields, ATTRIBUTES, 512) is None
    stamp = RunStamp("run", "{}")
    arrays = [np.full((1,) * rank, float(i)) for i in range(n_arrays)]
    write_file(tmp_path / "f.h5", "payload", stamp, range(1), "{}", fields, arrays)
    with h5py.File(tmp_path / "f.h5", "r") as file:
        assert [file[f"result_{i}"][()].item() for i in range(n_arrays)] == list(range(n_arrays))


shapes = st.lists(st.integers(1, 60), max_size=3).map(tuple)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    described=st.lists(st.tuples(st.sampled_from(DTYPES), shapes), min_size=1, max_size=5),
    block=st.sampled_from([512, 1024]),
)
def test_h5py_reads_and_changes_files_made_from_templates(tmp_path, described, block) -> None:
    arrays = []
    for dtype, shape in described:
        raw = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2
        arrays.append(raw.astype(dtype) if dtype != "V3" else np.full(shape, b"abc", dtype))
    fields = [Field(f"result_{i}", a.dtype, a.shape) for i, a in enumerate(arrays)]
    template = template_for(fields, ATTRIBUTES, block)
    assert template is not None
    pieces, ranges = template.fill([b"r" * 200, b"c" * 128], fields, arrays)
    path = tmp_path / "made.h5"
    path.write_bytes(b"\0" * block + b"".join(pieces))
    assert [length for _, length in ranges] == [a.nbytes for a in arrays]
    with h5py.File(path, "r") as file:
        assert file.userblock_size == block
        assert dict(file.attrs) == {"run": b"r" * 200, "calls": b"c" * 128}
        for array, (name, dataset) in zip(arrays, sorted(file.items()), strict=True):
            assert (dataset.dtype, dataset.shape) == (array.dtype, array.shape), name
            assert dataset.chunks is None
            assert dataset.maxshape == array.shape
            np.testing.assert_array_equal(dataset[()], array)
    with h5py.File(path, "r+") as file:  # and it can be changed like any other
        file["more"] = np.arange(10_000)
        file["result_0"].attrs["unit"] = "mV"
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["result_0"][()], arrays[0])
        assert file["more"][-1] == 9_999
