"""The arguments of failed calls are recorded like those of other calls."""

import os

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap
from acme_io import open_results

WAYS = [
    {},
    {"single_file": True},
    {"write_pickle": True},
    {"result_shape": (None, 2)},
    {"result_shape": (None, 2), "single_file": True},
]


def odd_fails(x, name, y=0):
    if x % 2:
        raise ValueError(f"no {x}")
    return np.full(2, x)


def run(func, *args, **options):
    pmap = ParallelMap(func, *args, verbose=False, **options)
    with pytest.raises(ComputeError) as caught, pmap:
        pmap.compute()
    return pmap, caught.value


@pytest.mark.parametrize("options", WAYS)
def test_arguments_in_every_way_of_storing(workers, options):
    pmap, error = run(odd_fails, [0, 1, 2, 3], ["a", "b", "c", "d"], **options)
    assert error.failures[3].arguments == {"x": 3, "name": "d"}
    results = open_results(pmap.results_container or pmap.output_dir, allow_pickle=True)
    assert results.failed == [1, 3]
    assert results[3].arguments == {"x": 3, "name": "d"}
    assert results[3].record["arguments"] == {"x": 3, "name": "d"}
    assert results.failures[1].arguments == {"x": 1, "name": "b"}
    assert [given["name"] for given in results.arguments] == ["a", "b", "c", "d"]
    with open(pmap.report(), encoding="utf-8") as page:
        assert "x=3, name=&#x27;d&#x27;" in page.read()


def test_in_memory(workers):
    pmap, _ = run(odd_fails, [0, 1], ["a", "b"], write_worker_results=False)
    assert pmap.failures[1].arguments == {"x": 1, "name": "b"}


def test_large_arguments_are_summarized(workers):
    pmap, _ = run(lambda a: 1 / 0, [np.zeros(200_000), np.zeros(3)])
    assert pmap.failures[0].arguments["a"]["shape"] == [200_000]
    assert pmap.results[1].arguments["a"]["shape"] == [3]


def test_call_whose_result_cannot_be_stored(workers):
    pmap, _ = run(lambda x: np.zeros(x), [[2], [3], [2]], result_shape=(None, 2))
    assert pmap.failures[1].arguments["x"]["length"] == 1
    assert pmap.results[1].arguments == dict(pmap.failures[1].arguments)


def test_call_that_ended_its_worker(workers):
    def leave(x):
        if x[0] == 3:
            os._exit(1)
        return x[0]

    pmap, error = run(leave, [[0], [3], [1]])
    assert pmap.failures[1].arguments == pmap.results[1].arguments
    assert pmap.failures[1].arguments["x"]["length"] == 1
    shown = str(error)
    assert "…" not in shown
    assert "compute(debug=True) runs the call in this process.\n" in shown
    assert "but all those workers died while running it.\n" in shown
