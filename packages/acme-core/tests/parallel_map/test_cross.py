"""Runs over all combinations of some arguments."""

import itertools
import os
import signal

import h5py
import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap, cross
from acme_io import open_results
from acme_io.backend import Grid

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


def test_combinations_on_workers(in_memory):
    product = itertools.product([1, 2, 3], [10, 20])
    assert in_memory(f, cross([1, 2, 3]), cross([10, 20]), 2) == [(x + y) * 2 for x, y in product]


def test_many_calls(in_memory):
    axes = [list(range(60)), [f"text {i}" for i in range(7)], [[i] for i in range(11)]]

    def g(a, b, c):
        c.append(a)
        return a, b, c

    got = in_memory(g, cross(axes[0]), cross(axes[1]), c=cross(axes[2]))
    assert got == [(a, b, [*c, a]) for a, b, c in itertools.product(*axes)]


def test_large_arrays(in_memory):
    arrays = [np.full(200_000, float(i)) for i in range(4)]

    def g(factor, array, power):
        array *= factor
        return float(array[-1]) ** power

    got = in_memory(g, cross([1, 2, 3]), cross(arrays), cross([1, 2]))
    assert got == [(a * i) ** p for a, i, p in itertools.product([1, 2, 3], range(4), [1, 2])]


def test_call_number_and_generator(in_memory):
    def g(x, y, taskID, rng):
        return x, y, taskID, rng.random()

    got = in_memory(g, cross([1, 2]), cross("ab"), compute={"seed": 5})
    seeds = np.random.SeedSequence(5).spawn(4)
    assert got == [
        (x, y, i, np.random.default_rng(seed).random())
        for i, ((x, y), seed) in enumerate(zip(itertools.product([1, 2], "ab"), seeds, strict=True))
    ]


@pytest.mark.parametrize("way", ["files", "single_file", "result_shape", "debug"])
def test_on_record(way):
    options = {"single_file": {"single_file": True}, "result_shape": {"result_shape": (None,)}}
    with ParallelMap(
        f, cross([1, 2, 3]), y=cross(np.array([10, 20])), verbose=False, **options.get(way, {})
    ) as pmap:
        pmap.compute(debug=way == "debug")
        with open_results(pmap.output_dir) as results:
            assert results.run.grid == Grid(("x", "y"), ([1, 2, 3], [10, 20]))
            assert results.run.grid.shape == (3, 2)
            assert results.run.n_calls == 6
            assert results[3].arguments["x"] == 2
            assert results[3].values == f(2, 20)


def test_datasets(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"], file["rows"] = np.arange(3), np.arange(4).reshape(2, 2)
    with (
        h5py.File(tmp_path / "in.h5", "r") as file,
        ParallelMap(
            lambda x, row: x + row, cross(file["x"]), cross(file["rows"]), verbose=False
        ) as pmap,
    ):
        pmap.compute()
    with open_results(pmap.output_dir) as results:
        assert results[3].values.tolist() == [3, 4]
        assert results.run.grid == Grid(("x", "row"), ([0, 1, 2], ["/rows[0]", "/rows[1]"]))


def test_failed_calls_name_their_arguments():
    def g(x, y):
        return 1 / (x - y)

    with ParallelMap(g, cross([1, 2]), cross([2, 3]), verbose=False) as pmap:
        with pytest.raises(ComputeError):
            pmap.compute()
        assert {call: failure.arguments for call, failure in pmap.failures.items()} == {
            2: {"x": 2, "y": 2}
        }


def test_resumed_run_computes_new_combinations_only(tmp_path):
    log = tmp_path / "calls"

    def g(x, y):
        with open(log, "a") as file:
            file.write(f"{x} {y}\n")
        return x + y

    for xs, ys in (([1, 2], [10, 20]), ([1, 3], [10, 20])):
        with ParallelMap(
            g, cross(xs), cross(ys), output_dir=tmp_path / "out", verbose=False
        ) as pmap:
            pmap.compute(resume=True)
            with open_results(pmap.output_dir) as results:
                assert [call.values for call in results] == [
                    x + y for x, y in itertools.product(xs, ys)
                ]
                assert results.run.grid == Grid(("x", "y"), (xs, ys))
    lines = log.read_text().splitlines()
    assert sorted(lines) == ["1 10", "1 20", "2 10", "2 20", "3 10", "3 20"]


def test_dry_run(capsys):
    with ParallelMap(f, cross([1, 2]), cross([3, 4]), dryrun=True, setup_interactive=False) as pmap:
        assert len(pmap.compute()) == 4
    assert "Performing a single dry-run of f" in capsys.readouterr().err


def test_a_worker_that_dies_costs_no_combination(in_memory, tmp_path):
    arrays = [np.full(200_000, float(i)) for i in range(3)]

    def g(array, i):
        if (array[0], i) in ((0, 5), (2, 1)):
            try:
                (tmp_path / f"died-{array[0]}").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return float(array[-1]), i

    expected = [(float(a), i) for a, i in itertools.product(range(3), range(20))]
    assert in_memory(g, cross(arrays), cross(range(20))) == expected
    assert len(list(tmp_path.glob("died-*"))) == 2


def test_failed_combinations_are_tried_again(in_memory, tmp_path):
    arrays = [np.full(200_000, float(i)) for i in range(3)]

    def g(array, i):
        mark = tmp_path / f"{array[0]}-{i}"
        if i % 2 and not mark.exists():
            mark.touch()
            raise ValueError("not yet")
        return float(array[-1]), i

    expected = [(float(a), i) for a, i in itertools.product(range(3), range(4))]
    assert in_memory(g, cross(arrays), cross(range(4)), compute={"retries": 1}) == expected
