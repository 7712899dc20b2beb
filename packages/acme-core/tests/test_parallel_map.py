"""ParallelMap through its public face, with workers."""

import functools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap, UnpicklableError, WorkerDiedError, each, shared


def f(x, y, z=3):
    return (x + y) * z


def in_memory(func, /, *args, compute=None, **kwargs):
    with ParallelMap(func, *args, write_worker_results=False, verbose=False, **kwargs) as pmap:
        return pmap.compute(**(compute or {}))


@pytest.mark.usefixtures("workers")
class TestResults:
    def test_files_and_container(self, tmp_path):
        with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:
            results = pmap.compute()
        (folder,) = tmp_path.iterdir()
        assert folder.name.startswith("ACME_")
        assert results == [str(folder / "f_payload" / f"f_{i}.h5") for i in range(4)]
        assert pmap.results_container == str(folder / "f.h5")
        assert pmap.output_dir == str(folder)
        assert Path(pmap.logfile).parent == folder
        with h5py.File(pmap.results_container, "r") as container:
            assert list(container) == [f"comp_{i}" for i in range(4)]
            assert [container[f"comp_{i}/result_0"][()].tolist() for i in range(4)] == [
                [18],
                [24],
                [30],
                [36],
            ]
        assert [call.values for call in pmap.results] == [18, 24, 30, 36]

    def test_output_dir_of_the_user(self, tmp_path):
        with ParallelMap(f, [2, 4, 6, 8], 4, output_dir="here/there") as pmap:
            results = pmap.compute()
        assert results[0] == str(tmp_path / "here" / "there" / "f_payload" / "f_0.h5")

    def test_second_compute_is_a_new_run(self):
        with ParallelMap(f, [2, 4], 4) as pmap:
            first, second = pmap.compute(), pmap.compute()
        assert Path(first[0]).parents[1] != Path(second[0]).parents[1]
        assert all(map(os.path.exists, first + second))

    def test_results_are_never_overwritten(self, tmp_path):
        with ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out") as pmap:
            pmap.compute()
            before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
            with pytest.raises(OSError, match=r"resume=True.*output_dir"):
                pmap.compute()
        with pytest.raises(OSError, match="resume=True"):
            ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out").compute()
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before

    def test_in_memory(self, tmp_path):
        assert in_memory(f, [2, 4, 6, 8], 4) == [18, 24, 30, 36]
        assert list(tmp_path.iterdir()) == []

    def test_arrays_in_memory(self):
        results = in_memory(f, [2, 4, 6, 8], np.ones((3,)) * 4, n_inputs=4)
        assert [r.tolist() for r in results] == [[v] * 3 for v in (18.0, 24.0, 30.0, 36.0)]

    def test_same_call_four_times(self):
        assert in_memory(f, 2, 3, n_inputs=4) == [15, 15, 15, 15]

    def test_result_shape_on_disk(self):
        y = np.ones((3,)) * 4
        with ParallelMap(f, [2, 4, 6, 8], y, n_inputs=4, result_shape=(None, 3)) as pmap:
            pmap.compute()
        with h5py.File(pmap.results_container, "r") as container:
            assert list(container) == ["result_0"]
            assert container["result_0"].dtype == np.dtype("<f8")
            assert container["result_0"][()].tolist() == [[v] * 3 for v in (18, 24, 30, 36)]

    def test_result_shape_in_memory(self):
        y = np.ones((3,)) * 4
        results = in_memory(f, [2, 4, 6, 8], y, n_inputs=4, result_shape=(None, 3))
        assert len(results) == 1
        assert results[0].dtype == float
        assert results[0].tolist() == [[v] * 3 for v in (18, 24, 30, 36)]

    def test_other_values_in_memory_follow_the_stack(self):
        stack, *others = in_memory(
            lambda x: (np.full(2, x), str(x)), [1, 2], result_shape=(None, 2)
        )
        assert stack.tolist() == [[1, 1], [2, 2]]
        assert others == [["1"], ["2"]]

    def test_many_calls_in_order(self):
        assert in_memory(f, range(5000), 4) == [f(x, 4) for x in range(5000)]

    def test_equal_arguments_are_not_merged(self):
        identity = in_memory(lambda x: (os.getpid(), time.perf_counter_ns()), [1] * 50)
        assert len(set(identity)) == 50


@pytest.mark.usefixtures("workers")
class TestCallables:
    class Adder:
        def __init__(self, a):
            self.a = a

        def add(self, x):
            return self.a + x

        def __call__(self, x):
            return self.a - x

    @pytest.mark.parametrize(
        ("func", "expected", "name"),
        [
            (lambda x: x + 1, [2, 3], "lambda"),
            (functools.partial(f, y=1, z=1), [2, 3], "f"),
            (Adder(1).add, [2, 3], "add"),
            (Adder(1), [0, -1], "Adder"),
            (abs, [1, 2], "abs"),
            (complex, [1 + 0j, 2 + 0j], "complex"),
            (np.negative, [-1, -2], "negative"),
        ],
    )
    def test_kinds(self, func, expected, name):
        with ParallelMap(func, [1, 2], verbose=False) as pmap:
            pmap.compute()
        assert Path(pmap.results_container).name == f"{name}.h5"
        assert [call.values for call in pmap.results] == expected

    def test_closure(self):
        factor = 7
        assert in_memory(lambda x: factor * x, [1, 2]) == [7, 14]

    @pytest.mark.parametrize("name", ["func", "key", "retries", "outFile", "seed", "self"])
    def test_parameters_of_any_name(self, name):
        space = {}
        exec(f"def g(x, {name}):\n    return x, {name}", space)
        assert in_memory(space["g"], [1, 2], **{name: "v"}) == [(1, "v"), (2, "v")]

    def test_option_names_are_warned_of(self, capsys):
        def g(x, verbose=None):
            return x

        ParallelMap(g, [1, 2])
        assert "functools.partial" in capsys.readouterr().err


@pytest.mark.usefixtures("workers")
class TestArguments:
    def test_shared_argument_is_the_same_for_every_call(self):
        def g(x, numbers, array):
            numbers.append(x)
            array += x
            return len(numbers), float(array[0])

        results = in_memory(g, range(200), shared([0]), np.zeros(3), n_inputs=200)
        assert results == [(2, float(x)) for x in range(200)]

    def test_large_shared_array_is_mapped_and_never_changed(self):
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

    def test_workers_share_the_pages_of_a_large_array(self):
        array = np.ones(4_000_000)

        def g(x, a):
            a.sum()
            with open("/proc/self/smaps") as file:
                mapping = file.read().split("acme-handover")[1]
            return next(line for line in mapping.splitlines() if line.startswith("Anonymous"))

        assert set(in_memory(g, range(4), array, n_inputs=4)) == {"Anonymous:             0 kB"}

    def test_equal_objects_in_a_list_are_not_shared(self):
        def g(x, numbers):
            numbers.append(x)
            return len(numbers)

        numbers = [[0]] * 100
        assert in_memory(g, range(100), numbers) == [2] * 100

    def test_generator_is_drawn_once(self):
        with ParallelMap(f, each(iter(range(5))), 1, n_inputs=5, verbose=False) as pmap:
            pmap.compute()
            with pytest.raises(ValueError, match="pass a list"):
                pmap.compute()

    def test_generator_is_not_drawn_ahead(self):
        drawn = []

        def items():
            for i in range(40):
                drawn.append(i)
                yield i

        progress = []

        def slow(x):
            time.sleep(0.05)
            return x

        with ParallelMap(
            slow, each(items()), n_inputs=40, verbose=False, stop_client=False
        ) as pmap:
            thread = threading.Thread(target=lambda: progress.append(pmap.compute()))
            assert drawn == []
            thread.start()
            while len(drawn) < 10:
                time.sleep(0.01)
            assert len(drawn) < 40
            thread.join()
        assert len(progress[0]) == 40

    def test_large_arguments(self):
        array = np.arange(400_000, dtype=float)
        rows = [np.full(100_000, i, float) for i in range(4)]
        results = in_memory(lambda a, row: (a.sum(), row[0]), shared(array), rows)
        assert results == [(array.sum(), float(i)) for i in range(4)]

    def test_very_large_argument_is_reported(self, capsys):
        ParallelMap(f, [1, 2], np.zeros((13, 10**6)))
        assert "`y` takes 104 MB" in capsys.readouterr().err

    def test_dataset_travels_by_name(self, tmp_path):
        with h5py.File(tmp_path / "in.h5", "w") as file:
            file["x"] = np.arange(4)
            with pytest.raises(ValueError, match="open for writing"):
                ParallelMap(lambda i, data: data[i], [0, 1], file["x"])
        with h5py.File(tmp_path / "in.h5", "r") as file:
            assert in_memory(lambda i, data: int(data[i]), [0, 3], file["x"]) == [0, 3]
            assert in_memory(lambda x: int(x), each(file["x"])) == [0, 1, 2, 3]

    def test_memoryview(self):
        views = [memoryview(np.arange(4.0).reshape(2, 2)), memoryview(bytearray(b"ab"))]
        results = in_memory(lambda x, y: (x, type(x), y.format), views, shared(views[0]))
        assert [kind for _, kind, _ in results] == [memoryview, memoryview]
        assert [(view.tobytes(), view.format, view.shape) for view, _, _ in results] == [
            (view.tobytes(), view.format, view.shape) for view in views
        ]
        assert [format_ for *_, format_ in results] == ["d", "d"]

    def test_task_id(self):
        assert in_memory(lambda x, taskID: (x, taskID), [5, 6]) == [(5, 0), (6, 1)]

    @pytest.mark.parametrize("n", [3, 300])
    def test_rng_depends_on_seed_and_call_alone(self, n):
        def draw(x, rng):
            return rng.random()

        seeds = np.random.SeedSequence(42).spawn(n)
        expected = [np.random.default_rng(seed).random() for seed in seeds]
        assert in_memory(draw, range(n), compute={"seed": 42}) == expected
        assert in_memory(draw, range(n)) != expected

    def test_worker_is_where_the_client_is(self, tmp_path, monkeypatch):
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

    def test_threads_are_limited_to_the_cores(self):
        def pools(x):
            import threadpoolctl

            np.ones((10, 10)) @ np.ones((10, 10))
            return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

        assert set().union(*in_memory(pools, [1, 2])) == {1}


@pytest.mark.usefixtures("workers")
class TestFailures:
    @staticmethod
    def odd_fails(x):
        if x % 2:
            raise KeyError(f"no {x}")
        return x

    def test_others_are_kept_on_disk(self):
        with ParallelMap(self.odd_fails, range(6)) as pmap, pytest.raises(ComputeError) as caught:
            pmap.compute()
        error = caught.value
        assert isinstance(error, RuntimeError)
        assert sorted(error.failures) == sorted(pmap.failures) == [1, 3, 5]
        assert error.failures[1].type == "KeyError"
        assert "no 1" in error.failures[1].message
        assert isinstance(error.__cause__, KeyError)
        assert [call.values for call in pmap.results if call.status == "done"] == [0, 2, 4]
        assert pmap.results.failed == [1, 3, 5]
        assert list(Path(pmap.output_dir).rglob("odd_fails_[135].h5")) == []
        text = str(error)
        assert "3 of 6 calls of odd_fails failed" in text
        assert pmap.logfile in text
        assert "in odd_fails" in text
        assert "acme_core" not in text.replace("acme-core", "")
        assert len(text.splitlines()) < 40
        assert "no 5" in Path(pmap.logfile).read_text()

    def test_frames_of_a_library_stay_where_there_are_no_others(self):
        with pytest.raises(ComputeError) as caught:
            in_memory(np.linalg.inv, [np.zeros((2, 2)), np.eye(2)])
        trace = caught.value.failures[0].traceback
        assert "in inv" in trace
        assert "acme_core" not in trace

    def test_others_are_kept_in_memory(self):
        with pytest.raises(ComputeError) as caught:
            in_memory(self.odd_fails, range(6))
        assert caught.value.results == [0, None, 2, None, 4, None]

    def test_keep(self):
        assert in_memory(self.odd_fails, range(4), compute={"on_error": "keep"}) == [
            0,
            None,
            2,
            None,
        ]

    def test_object_that_lives_on_is_returned_as_it_was(self):
        kept = [0]

        def g(x):
            kept[0] = x
            return kept

        assert in_memory(g, range(100)) == [[x] for x in range(100)]

    def test_stop(self):
        def first_fails(x):
            if x == 0:
                raise ValueError("stop here")
            time.sleep(0.3)
            return x

        with pytest.raises(ComputeError) as caught:
            in_memory(first_fails, range(40), compute={"on_error": "stop"})
        assert list(caught.value.failures) == [0]
        assert caught.value.results.count(None) > 30

    def test_retries(self, tmp_path):
        def second_time(x, folder):
            mark = Path(folder) / str(x)
            if not mark.exists():
                mark.touch()
                raise OSError("first time")
            return x

        folder = tmp_path / "marks"
        folder.mkdir()
        results = in_memory(second_time, range(20), str(folder), compute={"retries": 1})
        assert results == list(range(20))

    def test_cause_is_of_a_call_that_failed_in_the_end(self, tmp_path):
        def g(x, folder):
            mark = Path(folder) / str(x)
            if x == 0 and not mark.exists():
                mark.touch()
                raise OSError("only the first time")
            if x == 1:
                raise KeyError("always")
            return x

        with pytest.raises(ComputeError) as caught:
            in_memory(g, range(3), str(tmp_path), compute={"retries": 1})
        assert list(caught.value.failures) == [1]
        assert isinstance(caught.value.__cause__, KeyError)

    def test_one_bad_call_among_thousands(self):
        def g(x):
            return 1 / (x - 2500)

        results = in_memory(g, range(5000), compute={"on_error": "keep"})
        assert [i for i, r in enumerate(results) if r is None] == [2500]

    def test_exit_is_a_failure_of_the_call(self):
        def leave(x):
            raise SystemExit(3)

        with pytest.raises(ComputeError, match="SystemExit"):
            in_memory(leave, [1, 2])

    def test_exception_that_cannot_be_pickled(self):
        def g(x):
            error = ValueError("with a lock")
            error.lock = threading.Lock()
            raise error

        with pytest.raises(ComputeError, match="with a lock"):
            in_memory(g, [1, 2])

    def test_value_that_cannot_be_sent_back(self):
        def g(x):
            return threading.Lock() if x == 1 else x

        with pytest.raises(ComputeError, match="cannot be sent back") as caught:
            in_memory(g, [0, 1, 2])
        assert caught.value.results == [0, None, 2]

    def test_value_that_fits_nowhere(self):
        with (
            pytest.raises(ComputeError) as caught,
            ParallelMap(lambda x: threading.Lock() if x else x, [0, 1]) as pmap,
        ):
            pmap.compute()
        assert list(caught.value.failures) == [1]
        assert pmap.results[0].values == 0

    def test_wrong_shape_fails_that_call(self):
        with pytest.raises(ComputeError, match=r"\(2,\)") as caught:
            in_memory(lambda n: np.zeros(n), [3, 2, 3], result_shape=(None, 3))
        assert list(caught.value.failures) == [1]
        assert caught.value.results[0].shape == (3, 3)
        assert np.isnan(caught.value.results[0][1]).all()

    def test_complex_does_not_become_real(self):
        with pytest.raises(ComputeError, match="result_dtype"):
            in_memory(lambda x: np.array([x + 1j]), [1, 2], result_shape=(None, 1))

    def test_function_that_cannot_be_pickled(self, tmp_path, children):
        lock, before = threading.Lock(), children()
        with pytest.raises(TypeError, match="cannot be sent") as caught:
            ParallelMap(lambda x: lock, [1, 2]).compute()
        assert isinstance(caught.value, UnpicklableError)
        with pytest.raises(UnpicklableError, match="`y`"):
            ParallelMap(f, [1, 2], y=lock).compute()
        assert list(tmp_path.iterdir()) == []
        assert children() == before

    def test_nothing_runs_on_when_an_argument_cannot_be_pickled(self, empty_folder):
        script = """
import threading, psutil
from acme_core import ParallelMap, UnpicklableError
try:
    ParallelMap(lambda x, y: x, [1, 2], y=threading.Lock()).compute()
except UnpicklableError:
    print(psutil.Process().children())
"""
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
        assert list(empty_folder.iterdir()) == []

    def test_call_that_ends_its_worker(self):
        def g(x):
            if x == 13:
                os._exit(1)
            return x

        with pytest.raises(ComputeError, match="13") as caught:
            in_memory(g, range(60))
        assert list(caught.value.failures) == [13]
        assert isinstance(caught.value.__cause__, WorkerDiedError)
        assert caught.value.results == [None if x == 13 else x for x in range(60)]


@pytest.mark.usefixtures("workers")
class TestResume:
    """compute(resume=True) runs what is not done, and nothing else."""

    @pytest.fixture
    def counted(self, tmp_path):
        """A function that leaves a mark for each evaluation, and fails where it is told to."""
        marks = tmp_path / "marks"
        marks.mkdir()

        def g(x, folder=str(marks)):
            Path(folder, f"{x}-{time.time_ns()}").touch()
            if Path(folder, f"fail-{x}").exists():
                raise RuntimeError("told to")
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
    def test_failed_calls_run_again(self, counted, tmp_path, options):
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

    def test_nothing_there_is_a_new_run(self, tmp_path):
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
    def test_another_run_is_refused(self, tmp_path, args, options, says):
        with ParallelMap(f, [2, 4], 4, output_dir=tmp_path / "out", verbose=False) as pmap:
            files = pmap.compute()
        before = [Path(p).read_bytes() for p in files]
        with pytest.raises(ValueError, match=says):
            ParallelMap(f, *args, output_dir=tmp_path / "out", **options).compute(resume=True)
        assert [Path(p).read_bytes() for p in files] == before

    def test_other_arguments_run_again(self, counted, tmp_path):
        evaluated = counted.evaluated
        del counted.evaluated
        out = {"output_dir": tmp_path / "out", "verbose": False}
        ParallelMap(counted, [1, 2, 3], **out).compute()
        evaluated()
        with ParallelMap(counted, [1, 5, 3], **out) as pmap:
            pmap.compute(resume=True)
        assert evaluated() == [5]
        assert [call.values for call in pmap.results] == [10, 50, 30]

    def test_same_numbers_after_resuming(self, tmp_path):
        flag = tmp_path / "fail"
        flag.touch()

        def g(x, folder, rng):
            if x == 2 and Path(folder, "fail").exists():
                raise RuntimeError("told to")
            return rng.random()

        args = (g, range(4), str(tmp_path))
        with pytest.raises(ComputeError):
            ParallelMap(*args, output_dir="out", verbose=False).compute(seed=5)
        flag.unlink()
        with ParallelMap(*args, output_dir="out", verbose=False) as pmap:
            pmap.compute(resume=True)
        assert [call.values for call in pmap.results] == in_memory(*args, compute={"seed": 5})

    def test_needs_an_output_dir(self):
        with pytest.raises(ValueError, match="output_dir"):
            ParallelMap(f, [2, 4], 4).compute(resume=True)


@pytest.mark.usefixtures("workers")
class TestClients:
    def test_attaching_is_said(self, capsys, workers):
        with ParallelMap(f, [1, 2], 3, n_workers=3, write_worker_results=False) as pmap:
            pmap.compute()
        said = capsys.readouterr().err
        attaching = f"<ParallelMap> INFO: Attaching to global parallel computing client {workers}"
        assert attaching in said
        assert "n_workers has no effect" in said
        assert workers.status == "running"
        assert pmap.client is workers
        assert pmap.n_workers == 2


class TestHere:
    def test_debug_is_sequential_and_here(self, empty_folder, children):
        before, threads = children(), []

        def g(x):
            threads.append((os.getpid(), threading.get_ident()))
            return x

        with ParallelMap(g, range(3), verbose=False) as pmap:
            results = pmap.compute(debug=True)
        assert threads == [(os.getpid(), threading.get_ident())] * 3
        assert children() == before
        assert [Path(r).name for r in results] == ["g_0.h5", "g_1.h5", "g_2.h5"]
        assert [call.values for call in pmap.results] == [0, 1, 2]

    def test_debug_gives_the_users_exception(self, empty_folder):
        with (
            pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*"),
            ParallelMap(f, [2, 4, 6, 8], 4, z=None) as pmap,
        ):
            pmap.compute(debug=True)
        assert pmap.results_container is None
        assert list(empty_folder.iterdir()) == []

    def test_debug_in_memory(self, empty_folder):
        assert in_memory(f, [2, 4], 4, compute={"debug": True}) == [18, 24]
        assert list(empty_folder.iterdir()) == []

    def test_declined_dry_run(self, empty_folder, monkeypatch, capsys, children):
        before, state = children(), np.random.get_state()
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        asked = []
        monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "n")
        with ParallelMap(f, [2, 4, 6, 8], 4, dryrun=True) as pmap:
            assert pmap.compute() is None
        assert asked == ["Do you want to continue executing f with the provided arguments? [Y/n] "]
        assert pmap.results_container is None
        assert list(empty_folder.iterdir()) == []
        assert children() == before
        assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))
        first, second = capsys.readouterr().err.splitlines()
        assert first[:-1].startswith(
            "<ParallelMap> INFO: Performing a single dry-run of f simulating randomly picked worker"
        )
        assert first.endswith(" with automatically distributed arguments")
        assert second.startswith("<ParallelMap> INFO: Dry-run completed. Elapsed time is 0.")
        assert second.endswith(" MB.")

    def test_dry_run_without_terminal_goes_on(self, workers):
        results = in_memory(f, each(iter([2, 4, 6, 8])), 4, n_inputs=4, dryrun=True)
        assert results == [18, 24, 30, 36]


NOTHING = object()


class TestBadInput:
    """Every mistake is told before anything is started or written."""

    @pytest.fixture(autouse=True)
    def _nothing_happens(self, empty_folder, children):
        before = children()
        yield
        assert children() == before
        assert [p for p in empty_folder.rglob("*") if p.name != "kept"] == []

    @pytest.mark.parametrize("func", [3, "f", None, f(1, 2)])
    def test_not_a_function(self, func):
        with pytest.raises(TypeError, match="function"):
            ParallelMap(func, [1, 2])

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"n_inputs": 0}, ValueError),
            ({"n_inputs": -2}, ValueError),
            ({"n_inputs": 3.6}, ValueError),
            ({"n_inputs": "four"}, ValueError),
            ({"n_workers": 0}, ValueError),
            ({"n_workers": "many"}, ValueError),
            ({"n_workers": None}, TypeError),
            ({"result_shape": (3,)}, ValueError),
            ({"result_shape": (None, None)}, ValueError),
            ({"result_shape": (None, -3)}, ValueError),
            ({"result_shape": (None, "3")}, (TypeError, ValueError)),
            ({"result_shape": "None"}, TypeError),
            ({"result_shape": 3}, TypeError),
            ({"result_dtype": "flaot"}, TypeError),
            ({"result_shape": (None,), "result_dtype": 3.5}, TypeError),
            ({"write_worker_results": 1}, TypeError),
            ({"single_file": True, "write_pickle": True}, ValueError),
            ({"partition": 8}, TypeError),
            ({"mem_per_worker": "much"}, ValueError),
            ({"mem_per_worker": 3.5}, TypeError),
            ({"setup_timeout": -1}, ValueError),
            ({"setup_timeout": "long"}, TypeError),
            ({"stop_client": "never"}, ValueError),
            ({"stop_client": 1}, TypeError),
            ({"verbose": "yes"}, TypeError),
            ({"logfile": 3}, TypeError),
            ({"logfile": "."}, OSError),
            ({"output_dir": 3}, TypeError),
            ({"output_dir": ""}, ValueError),
        ],
    )
    def test_options(self, options, error):
        with pytest.raises(error) as caught:
            ParallelMap(f, [1, 2, 3], 4, **options)
        assert next(iter(options)) in str(caught.value) or len(options) > 1

    def test_output_dir_is_a_file(self, empty_folder):
        (empty_folder / "kept").write_text("mine")
        for folder in ("kept", "kept/below"):
            with pytest.raises(OSError, match="is a file"):
                ParallelMap(f, [1, 2], 4, output_dir=folder)
        assert (empty_folder / "kept").read_text() == "mine"

    def test_output_dir_cannot_be_written(self):
        with pytest.raises(OSError, match="cannot be"):
            ParallelMap(f, [1, 2], 4, output_dir="/proc/acme")

    def test_existing_folder_is_kept_when_the_dry_run_is_declined(self, empty_folder, monkeypatch):
        (empty_folder / "kept").mkdir()
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        for answer in ("n", "no", "N"):
            monkeypatch.setattr("builtins.input", lambda text, answer=answer: answer)
            with ParallelMap(f, [1, 2], 4, output_dir="kept", dryrun=True, verbose=False) as pmap:
                assert pmap.compute() is None
        assert (empty_folder / "kept").is_dir()

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"on_error": "ignore"}, ValueError),
            ({"retries": -1}, ValueError),
            ({"retries": "two"}, TypeError),
            ({"seed": 1.5}, TypeError),
            ({"debug": "yes"}, TypeError),
        ],
    )
    def test_compute(self, options, error):
        with ParallelMap(f, [1, 2], 4) as pmap, pytest.raises(error, match=next(iter(options))):
            pmap.compute(**options)
