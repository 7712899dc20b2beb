"""Merged results of one shape and dtype."""

import tracemalloc
from pathlib import Path

import numpy as np

from acme_io.hdf5.objects import Field
from acme_io.storage.source import StoredCall
from acme_io.storage.uniform.writer import UniformWriter


def test_missing_rows_are_written_piece_by_piece(tmp_path: Path) -> None:
    row = np.zeros(1 << 17)  # 1 MB
    record = {"returned": "one", "values": ["array"]}
    found = StoredCall(record, [Field("result_0", row.dtype, row.shape)], [row])
    writer = UniformWriter(tmp_path / "f.h5", "run", 100, found)
    tracemalloc.start()
    try:
        assert writer.add(0, found)
        assert writer.add(99, found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        writer.abort()
    assert peak < 8 * row.nbytes
    assert list(tmp_path.iterdir()) == []
