"""Every call gets its own arguments, and shared ones unchanged."""

import os
import threading
import time

import h5py
import numpy as np
import pytest

from acme_core import ParallelMap, UnpicklableError, each, shared

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


def test_shared_argument_is_the_same_for_every_call(in_memory):
    def g(x, numbers, array):
        numbers.append(x)
        array += x
        return len(numbers), float(array[0])

    results = in_memory(g, range(200), shared([0]), np.zeros(3), n_inputs=200)
    assert results == [(2, float(x)) for x in range(200)]


def test_large_shared_array_is_mapped_and_never_changed(in_memory):
    array = np.arange(500_000, dtype=float).reshape(2, -1)

    def g(x, a):
        seen = float(a[0, 1])
        if x % 3 == 0:
            a[0, 1] = -1
        return seen, a[0, :2]

    results = in_memory(g, range(50), array, n_inputs=50)
    assert [seen for seen, _ in results] == [1.0] * 50
    assert [part[1] for _, part in results] == [-1 if x % 3 == 0 else 1 for x in range(50)]
    assert array[0, 1] == 1


def test_workers_share_the_pages_of_a_large_array(in_memory):
    array = np.ones(4_000_000)

    def g(x, a):
        a.sum()
        with open("/proc/self/smaps") as file:
            mapping = file.read().split("acme-handover")[1]
        return next(line for line in mapping.splitlines() if line.startswith("Anonymous"))

    assert set(in_memory(g, range(4), array, n_inputs=4)) == {"Anonymous:             0 kB"}


def test_equal_objects_in_a_list_are_not_shared(in_memory):
    def g(x, numbers):
        numbers.append(x)
        return len(numbers)

    numbers = [[0]] * 100
    assert in_memory(g, range(100), numbers) == [2] * 100


def test_generator_is_read_only_once():
    with ParallelMap(f, each(iter(range(5))), 1, n_inputs=5, verbose=False) as pmap:
        pmap.compute()
        with pytest.raises(ValueError, match="pass a list"):
            pmap.compute()


def test_generator_does_not_run_ahead():
    drawn = []

    def items():
        for i in range(40):
            drawn.append(i)
            yield i

    progress = []

    def slow(x):
        time.sleep(0.05)
        return x

    with ParallelMap(slow, each(items()), n_inputs=40, verbose=False, stop_client=False) as pmap:
        thread = threading.Thread(target=lambda: progress.append(pmap.compute()))
        assert drawn == []
        thread.start()
        while len(drawn) < 10:
            time.sleep(0.01)
        assert len(drawn) < 40
        thread.join()
    assert len(progress[0]) == 40


def test_large_arguments(in_memory):
    array = np.arange(400_000, dtype=float)
    rows = [np.full(100_000, i, float) for i in range(4)]
    results = in_memory(lambda a, row: (a.sum(), row[0]), shared(array), rows)
    assert results == [(array.sum(), float(i)) for i in range(4)]


def test_very_large_argument_is_reported(capsys):
    ParallelMap(f, [1, 2], np.zeros((13, 10**6)))
    assert "`y` takes 104 MB" in capsys.readouterr().err


def test_dataset_travels_by_name(in_memory, tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"] = np.arange(4)
        with pytest.raises(ValueError, match="open for writing"):
            ParallelMap(lambda i, data: data[i], [0, 1], file["x"])
    with h5py.File(tmp_path / "in.h5", "r") as file:
        assert in_memory(lambda i, data: int(data[i]), [0, 3], file["x"]) == [0, 3]
        assert in_memory(lambda x: int(x), each(file["x"])) == [0, 1, 2, 3]


def test_dataset_inside_another_value(in_memory, tmp_path, children):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["x"] = np.arange(4)
        before = children()
        pmap = ParallelMap(lambda i, data: data["x"][i], [0, 1], {"x": file["x"]})
        with pytest.raises(UnpicklableError, match=r"`data`.*open for writing"):
            pmap.compute()
        assert children() == before
    with h5py.File(tmp_path / "in.h5", "r") as file:
        assert in_memory(lambda i, data: int(data["x"][i]), [0, 3], {"x": file["x"]}) == [0, 3]


def test_memoryview(in_memory):
    views = [memoryview(np.arange(4.0).reshape(2, 2)), memoryview(bytearray(b"ab"))]
    results = in_memory(lambda x, y: (x, type(x), y.format), views, shared(views[0]))
    assert [kind for _, kind, _ in results] == [memoryview, memoryview]
    assert [(view.tobytes(), view.format, view.shape) for view, _, _ in results] == [
        (view.tobytes(), view.format, view.shape) for view in views
    ]
    assert [format_ for *_, format_ in results] == ["d", "d"]


def test_task_id(in_memory):
    assert in_memory(lambda x, taskID: (x, taskID), [5, 6]) == [(5, 0), (6, 1)]


@pytest.mark.parametrize("n", [3, 300])
def test_rng_depends_only_on_seed_and_call(in_memory, n):
    def draw(x, rng):
        return rng.random()

    seeds = np.random.SeedSequence(42).spawn(n)
    expected = [np.random.default_rng(seed).random() for seed in seeds]
    assert in_memory(draw, range(n), compute={"seed": 42}) == expected
    assert in_memory(draw, range(n)) != expected


def test_worker_uses_the_clients_folder_and_path(in_memory, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "helper_of_test.py").write_text("VALUE = 1\n")
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.syspath_prepend(str(tmp_path / "sub"))

    def g(x):
        import helper_of_test

        return os.getcwd(), helper_of_test.VALUE

    assert in_memory(g, [1, 2]) == [(str(tmp_path / "sub"), 1)] * 2
    (tmp_path / "sub" / "helper_of_test.py").write_text("VALUE = 22\n")
    assert in_memory(g, [1, 2]) == [(str(tmp_path / "sub"), 22)] * 2


def test_threads_are_limited_to_the_cores(in_memory):
    def pools(x):
        import threadpoolctl

        np.ones((10, 10)) @ np.ones((10, 10))
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

    assert set().union(*in_memory(pools, [1, 2])) == {1}
