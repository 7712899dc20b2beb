"""Pickle files: objects that plain pickle does not support."""

import pickle
from typing import Any

import numpy as np
import pytest

import acme_io
from acme_io import StorageOptions

VIEWS = [
    memoryview(b"abc"),
    memoryview(b""),
    memoryview(bytearray(b"abc")),
    memoryview(b"abcdef")[::2],
    memoryview(b"ab").cast("c"),
    memoryview(np.arange(6.0).reshape(2, 3)),
    memoryview(np.arange(6, dtype="i2").reshape(2, 3).T),
    memoryview(np.arange(3, dtype=">i4")),
    memoryview(np.zeros((0, 3))),
    memoryview(np.array(1.5)),
    memoryview(np.zeros(2, [("a", "i4"), ("b", "f8")])).toreadonly(),
    memoryview(np.ones(2)).toreadonly(),
]


def facts(view: memoryview) -> tuple[Any, ...]:
    assert type(view) is memoryview
    return view.tobytes(), view.format, view.shape, view.readonly


@pytest.mark.parametrize(
    "options", [StorageOptions(), StorageOptions(single_file=True), StorageOptions(pickle=True)]
)
def test_memoryviews_are_restored_exactly(run, options: StorageOptions) -> None:
    done = run(lambda call: {"view": VIEWS[call], 0: call}, len(VIEWS), options)
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        for call, view in zip(results, VIEWS, strict=True):
            assert facts(call.values["view"]) == facts(view)
    with open(next(done.output_dir.rglob("f_5.pickle")), "rb") as file:
        assert facts(pickle.load(file)["view"]) == facts(VIEWS[5])
