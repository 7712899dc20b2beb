"""Files of earlier format versions stay readable. Never change a file in the data folder."""

from pathlib import Path

import numpy as np
import pytest

import acme_io
from acme_io.tools.verify import verify

DATA = Path(__file__).with_name("data")
versions = pytest.mark.parametrize("version", ["version-1", "version-2"])


@versions
@pytest.mark.parametrize("kind", ["links", "single", "pickles", "parts"])
def test_calls(version: str, kind: str, tools) -> None:
    with acme_io.open_results(DATA / version / kind, allow_pickle=True) as results:
        assert results.run.run_id == f"run-of-{version}"
        assert results[0].values == 18
        # Pickled arrays can be loaded only with a NumPy compatible with the one that wrote them.
        first = np.arange(3.0) if kind != "pickles" else [0, 1, 2]
        assert tools.same(results[1].values, (first, "text", None))
        assert results[2].values == {"a": 2}
        assert results.status[3] in ("failed", "missing")
        assert results[1].arguments == {"x": 1}


@versions
@pytest.mark.parametrize("kind", ["stacked", "stacked-single"])
def test_stacked_calls(version: str, kind: str) -> None:
    with acme_io.open_results(DATA / version / kind) as results:
        row, other = results[2].values
        assert row.tolist() == [2, 2, 2]
        assert other == 3.0
        assert results.stack(missing="mask").shape == (4, 3)
        assert results.lengths.tolist() == [1, 2, 3, 0]
        assert results.failures[3].type == "ZeroDivisionError"


@versions
def test_merged_calls(version: str) -> None:
    with acme_io.open_results(DATA / version / "alike") as results:
        assert results.stack().tolist() == [0, 1, 2, 3]
        assert results[2].values == 2.0


@versions
def test_files_verify(version: str) -> None:
    for kind in ("links", "single", "pickles", "stacked", "stacked-single", "alike"):
        assert verify(DATA / version / kind) == []
