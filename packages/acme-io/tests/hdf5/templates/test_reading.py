"""A pattern reads a file only if it is certain where record and data lie."""

import numpy as np
import pytest

from acme_io.hdf5.objects import Field
from acme_io.hdf5.templates.reading import pattern_of

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
