"""compute(resume=True) runs only the calls without a result."""

import os
import time
from pathlib import Path

import pytest

from acme_core import ComputeError, ParallelMap

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


@pytest.fixture
def counted(tmp_path):
    """A function that leaves a file for each evaluation, and fails for chosen arguments."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def g(x, folder=str(marks)):
        Path(folder, f"{x}-{time.time_ns()}").touch()
        if Path(folder, f"fail-{x}").exists():
            raise RuntimeError("on purpose")
        return x * 10

    def evaluated():
        names = sorted(int(p.name.split("-")[0]) for p in marks.glob("[0-9]*"))
        for path in marks.glob("[0-9]*"):
            path.unlink()
        return names

    g.marks, g.evaluated = marks, evaluated
    return g


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"single_file": True},
        {"write_pickle": True},
        {"result_shape": (None,)},
        {"result_shape": (None,), "single_file": True},
    ],
)
def test_failed_calls_run_again(counted, tmp_path, options):
    evaluated = counted.evaluated
    (counted.marks / "fail-3").touch()
    del counted.evaluated
    out = {"output_dir": tmp_path / "out", "verbose": False, **options}
    with pytest.raises(ComputeError, match=r"resume=True"):
        ParallelMap(counted, range(8), **out).compute()
    assert evaluated() == list(range(8))
    (counted.marks / "fail-3").unlink()
    with ParallelMap(counted, range(8), **out) as pmap:
        pmap.compute(resume=True)
    assert evaluated() == [3]
    assert [call.values for call in pmap.results] == [x * 10 for x in range(8)]
    with ParallelMap(counted, range(8), **out) as pmap:
        again = pmap.compute(resume=True)
    assert evaluated() == []
    assert all(map(os.path.exists, again))


def test_without_earlier_results_all_calls_run(tmp_path):
    with ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out", verbose=False) as pmap:
        pmap.compute(resume=True)
    assert [call.values for call in pmap.results] == [18, 24]


@pytest.mark.parametrize(
    ("args", "options", "says"),
    [
        (([2, 4, 6], 4), {}, "number of calls"),
        (([2, 4], 5), {}, "`y`"),
        (([2, 4], 4), {"result_shape": (None,)}, "result_shape"),
    ],
)
def test_another_run_is_refused(tmp_path, args, options, says):
    with ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out", verbose=False) as pmap:
        files = pmap.compute()
    before = [Path(p).read_bytes() for p in files]
    with pytest.raises(ValueError, match=says):
        ParallelMap(f, *args, output_dir=tmp_path / "out", **options).compute(resume=True)
    assert [Path(p).read_bytes() for p in files] == before


def test_calls_with_other_arguments_run_again(counted, tmp_path):
    evaluated = counted.evaluated
    del counted.evaluated
    out = {"output_dir": tmp_path / "out", "verbose": False}
    ParallelMap(counted, [1, 2, 3], **out).compute()
    evaluated()
    with ParallelMap(counted, [1, 5, 3], **out) as pmap:
        pmap.compute(resume=True)
    assert evaluated() == [5]
    assert [call.values for call in pmap.results] == [10, 50, 30]


def test_same_random_numbers_after_resuming(in_memory, tmp_path):
    flag = tmp_path / "fail"
    flag.touch()

    def g(x, folder, rng):
        if x == 2 and Path(folder, "fail").exists():
            raise RuntimeError("on purpose")
        return rng.random()

    args = (g, range(4), str(tmp_path))
    with pytest.raises(ComputeError):
        ParallelMap(*args, output_dir="out", verbose=False).compute(seed=5)
    flag.unlink()
    with ParallelMap(*args, output_dir="out", verbose=False) as pmap:
        pmap.compute(resume=True)
    assert [call.values for call in pmap.results] == in_memory(*args, compute={"seed": 5})


def test_corrected_function_runs_on_the_same_workers(tmp_path):
    """Workers do not use the function of the earlier run, nor dask its results."""

    def make(divisor):
        def g(x):
            return x / (x - divisor)

        return g

    for number in range(10):
        out = {"output_dir": tmp_path / str(number), "verbose": False}
        with pytest.raises(ComputeError):
            ParallelMap(make(0), range(8), **out).compute()
        with ParallelMap(make(-1), range(8), **out) as pmap:
            pmap.compute(resume=True)
        assert [call.values for call in pmap.results] == [0.0, *[1.0] * 7]


def test_needs_an_output_dir():
    with pytest.raises(ValueError, match="output_dir"):
        ParallelMap(f, [2, 4], 4).compute(resume=True)


@pytest.mark.parametrize("options", [{}, {"single_file": True}, {"result_shape": (None,)}])
def test_arguments_that_look_like_records_are_compared_whole(tmp_path, options):
    marks = tmp_path / "marks"
    marks.mkdir()

    def g(arguments, folder=str(marks)):
        (Path(folder) / str(time.time_ns())).touch()
        return len(arguments)

    out = {"output_dir": tmp_path / "out", "verbose": False, **options}
    texts = ["a", '","arguments":{"arguments":"a', "}", '"}}', "b"]
    with ParallelMap(g, texts, **out) as pmap:
        pmap.compute()
    assert len(list(marks.iterdir())) == 5
    with ParallelMap(g, texts, **out) as pmap:
        pmap.compute(resume=True)
    assert len(list(marks.iterdir())) == 5
    with ParallelMap(g, ["a", "a", "}", '"}}', "c"], **out) as pmap:
        pmap.compute(resume=True)
    assert len(list(marks.iterdir())) == 7
