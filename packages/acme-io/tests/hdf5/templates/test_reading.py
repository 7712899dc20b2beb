"""A pattern reads a file only if it is certain where record and data lie."""

import numpy as np
import pytest

import acme_io
from acme_io.hdf5.objects import Field
from acme_io.hdf5.templates.reading import pattern_of
from acme_io.tools.merge import merge
from acme_io.tools.verify import verify

BLOCK = 16
RECORD = '{"call":3}'
FIELD = Field("result_0", np.dtype("u1"), (4,))


def content(record: str = RECORD, data: bytes = b"\1\2\3\4", end: bytes = b"end") -> bytes:
    """Return a file: user block, metadata, record, metadata, data, metadata."""
    return b"U" * BLOCK + b"meta" + record.encode() + b"more" + data + end


OFFSET = content().index(b"\1\2\3\4")


def test_a_file_of_the_same_structure_gives_its_own_record_and_data() -> None:
    pattern = pattern_of(content(), BLOCK, RECORD, [FIELD], [OFFSET])
    assert pattern is not None
    other = b"V" * BLOCK + content('{"call":5}', b"\5\6\7\x08")[BLOCK:]
    found = pattern.read(other)
    assert found is not None
    record, (array,) = found
    assert record == b'{"call":5}'
    assert array is not None
    assert array.tolist() == [5, 6, 7, 8]
    assert array.flags.writeable


@pytest.mark.parametrize("shape", [(), (3,)])
def test_gaps_between_the_fields_of_structured_arrays_stay_zero(run, tmp_path, shape) -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    done = run(lambda call: np.full(shape, call, dtype), 8)
    with acme_io.open_results(done.container) as results:
        for call in results:
            raw = np.asarray(call.values).reshape(-1).view("u1").reshape(-1, dtype.itemsize)
            assert not raw[:, 1:8].any()
    merge(done.container, tmp_path / "all.h5")
    assert verify(tmp_path / "all.h5") == []
    with acme_io.open_results(tmp_path / "all.h5") as results:
        for call in results:
            np.testing.assert_array_equal(call.values, np.full(shape, call.index, dtype))


@pytest.mark.parametrize(
    "other", [content(end=b"enD"), content(end=b"end."), content('{"call":33}'), b"", b"U" * BLOCK]
)
def test_a_file_of_another_structure_is_left_to_the_library(other: bytes) -> None:
    pattern = pattern_of(content(), BLOCK, RECORD, [FIELD], [OFFSET])
    assert pattern is not None
    assert pattern.read(other) is None


@pytest.mark.parametrize("at", range(BLOCK, len(content())))
def test_each_byte_outside_record_and_data_counts(at: int) -> None:
    pattern = pattern_of(content(), BLOCK, RECORD, [FIELD], [OFFSET])
    assert pattern is not None
    changed = bytearray(content())
    changed[at] ^= 1
    start = content().index(RECORD.encode())
    free = {*range(start, start + len(RECORD)), *range(OFFSET, OFFSET + 4)}
    assert (pattern.read(bytes(changed)) is not None) == (at in free)


def test_a_result_that_contains_its_own_record_is_left_to_the_library() -> None:
    data = RECORD.encode()
    field = Field("result_0", np.dtype("u1"), (len(data),))
    file = content(data=data)
    assert pattern_of(file, BLOCK, RECORD, [field], [file.rindex(data)]) is None


def test_a_record_found_inside_the_data_is_left_to_the_library() -> None:
    field = Field("result_0", np.dtype("u1"), (len(RECORD) + 8,))
    start = content().index(RECORD.encode())
    assert pattern_of(content(), BLOCK, RECORD, [field], [start - 4]) is None


@pytest.mark.parametrize("offset", [-1, 0, BLOCK - 1])
def test_data_without_an_offset_is_left_to_the_library(offset: int) -> None:
    assert pattern_of(content(), BLOCK, RECORD, [FIELD], [offset]) is None
