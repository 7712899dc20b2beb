"""Failed calls are reported, and all others are kept."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap, UnpicklableError, WorkerDiedError

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


def odd_fails(x):
    if x % 2:
        raise KeyError(f"no {x}")
    return x


def test_other_results_are_kept_on_disk():
    with ParallelMap(odd_fails, range(6)) as pmap, pytest.raises(ComputeError) as caught:
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


def test_library_frames_stay_if_there_are_no_others(in_memory):
    with pytest.raises(ComputeError) as caught:
        in_memory(np.linalg.inv, [np.zeros((2, 2)), np.eye(2)])
    trace = caught.value.failures[0].traceback
    assert "in inv" in trace
    assert "acme_core" not in trace


def test_other_results_are_kept_in_memory(in_memory):
    with pytest.raises(ComputeError) as caught:
        in_memory(odd_fails, range(6))
    assert caught.value.results == [0, None, 2, None, 4, None]


def test_keep(in_memory):
    assert in_memory(odd_fails, range(4), compute={"on_error": "keep"}) == [
        0,
        None,
        2,
        None,
    ]


def test_object_changed_by_later_calls_is_returned_unchanged(in_memory):
    kept = [0]

    def g(x):
        kept[0] = x
        return kept

    assert in_memory(g, range(100)) == [[x] for x in range(100)]


def test_stop(in_memory):
    def first_fails(x):
        if x == 0:
            raise ValueError("stop here")
        time.sleep(0.3)
        return x

    with pytest.raises(ComputeError) as caught:
        in_memory(first_fails, range(40), compute={"on_error": "stop"})
    assert list(caught.value.failures) == [0]
    assert caught.value.results.count(None) > 30


def test_retries(in_memory, tmp_path):
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


def test_cause_is_not_of_a_call_that_was_retried_successfully(in_memory, tmp_path):
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


def test_one_bad_call_among_thousands(in_memory):
    def g(x):
        return 1 / (x - 2500)

    results = in_memory(g, range(5000), compute={"on_error": "keep"})
    assert [i for i, r in enumerate(results) if r is None] == [2500]


def test_exit_is_a_failure_of_the_call(in_memory):
    def leave(x):
        raise SystemExit(3)

    with pytest.raises(ComputeError, match="SystemExit"):
        in_memory(leave, [1, 2])


def test_exception_that_cannot_be_pickled(in_memory):
    def g(x):
        error = ValueError("with a lock")
        error.lock = threading.Lock()
        raise error

    with pytest.raises(ComputeError, match="with a lock"):
        in_memory(g, [1, 2])


def test_value_that_cannot_be_sent_back(in_memory):
    def g(x):
        return threading.Lock() if x == 1 else x

    with pytest.raises(ComputeError, match="cannot be sent back") as caught:
        in_memory(g, [0, 1, 2])
    assert caught.value.results == [0, None, 2]


def test_value_that_cannot_be_stored():
    with (
        pytest.raises(ComputeError) as caught,
        ParallelMap(lambda x: threading.Lock() if x else x, [0, 1]) as pmap,
    ):
        pmap.compute()
    assert list(caught.value.failures) == [1]
    assert pmap.results[0].values == 0


def test_wrong_shape_fails_that_call(in_memory):
    with pytest.raises(ComputeError, match=r"\(2,\)") as caught:
        in_memory(lambda n: np.zeros(n), [3, 2, 3], result_shape=(None, 3))
    assert list(caught.value.failures) == [1]
    assert caught.value.results[0].shape == (3, 3)
    assert np.isnan(caught.value.results[0][1]).all()


def test_complex_does_not_become_real(in_memory):
    with pytest.raises(ComputeError, match="result_dtype"):
        in_memory(lambda x: np.array([x + 1j]), [1, 2], result_shape=(None, 1))


def test_function_that_cannot_be_pickled(tmp_path, children):
    lock, before = threading.Lock(), children()
    with pytest.raises(TypeError, match="cannot be sent") as caught:
        ParallelMap(lambda x: lock, [1, 2]).compute()
    assert isinstance(caught.value, UnpicklableError)
    with pytest.raises(UnpicklableError, match="`y`"):
        ParallelMap(f, [1, 2], y=lock).compute()
    assert list(tmp_path.iterdir()) == []
    assert children() == before


def test_no_process_is_left_if_an_argument_cannot_be_pickled(empty_folder):
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


def test_call_that_ends_its_worker(in_memory):
    def g(x):
        if x == 13:
            os._exit(1)
        return x

    with pytest.raises(ComputeError, match="13") as caught:
        in_memory(g, range(60))
    assert list(caught.value.failures) == [13]
    assert isinstance(caught.value.__cause__, WorkerDiedError)
    assert caught.value.results == [None if x == 13 else x for x in range(60)]
