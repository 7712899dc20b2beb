"""User mistakes raise helpful errors before anything is started or written."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from acme import ComputeError, ParallelMap
from acme_cluster import current_client

# Root may write anywhere, so a test run as root switches to an ordinary user (65534, "nobody"). The
# folder belongs to root, below one that everybody may enter.
UNWRITABLE = """\
import os, sys, tempfile
from acme import ParallelMap
with tempfile.TemporaryDirectory() as folder:
    ParallelMap(abs, [1], output_dir=os.path.join(folder, "before")).compute(debug=True)
    locked = os.path.join(folder, "locked")
    os.mkdir(locked, mode=0o555)
    os.chmod(folder, 0o755)
    superuser = os.geteuid() == 0
    if superuser:
        os.setresuid(65534, 65534, 0)
    try:
        ParallelMap(abs, [1], output_dir=os.path.join(locked, sys.argv[1]))
    except Exception as error:
        print(isinstance(error, OSError), error)
    print(os.listdir(locked))
    if superuser:
        os.setresuid(0, 0, 0)
    os.chmod(locked, 0o755)
"""


def f(x, y, z=3):
    return (x + y) * z


def test_not_a_callable(untouched):
    with untouched(), pytest.raises(TypeError, match="function"):
        ParallelMap([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (([2, 4],), {}),
        (([2, 4], 4, 3, 1), {}),
        (([2, 4], 4), {"w": 1}),
        (([2, 4], 4), {"x": 1}),
    ],
    ids=["too few", "too many", "unknown keyword", "given twice"],
)
def test_wrong_arguments_name_the_parameters(untouched, arguments, keywords):
    with untouched(), pytest.raises(ValueError, match="x, y, z"):
        ParallelMap(f, *arguments, **keywords)


def test_ambiguous_lengths(untouched):
    with untouched(), pytest.raises(ValueError, match="automatic input") as caught:
        ParallelMap(f, [2, 4, 6, 8], np.ones((3,)))
    first, *more = str(caught.value).splitlines()
    assert first == (
        "<ParallelMap> automatic input distribution failed: found 2 objects containing 3 to 4 "
        "elements. Please specify n_inputs manually."
    )
    assert "each" in "\n".join(more)
    assert "shared" in "\n".join(more)
    assert type(caught.value) is ValueError


def test_nothing_to_distribute(untouched):
    with untouched(), pytest.raises(ValueError, match="<ParallelMap> automatic input"):
        ParallelMap(f, 2, 4)


@pytest.mark.parametrize("n_inputs", [0, -1, 3.6, "three", "4"])
def test_invalid_number_of_calls(untouched, n_inputs):
    with untouched(), pytest.raises(ValueError, match="n_inputs"):
        ParallelMap(f, [2, 4, 6, 8], 4, n_inputs=n_inputs)


def test_number_of_calls_that_matches_no_argument(untouched):
    with untouched(), pytest.raises(ValueError) as caught:  # noqa: PT011, the text is compared
        ParallelMap(f, [2, 4, 6, 8], 4, n_inputs=3)
    first = str(caught.value).splitlines()[0]
    assert first == "<ParallelMap> No object has required length of 3 matching n_inputs."


def test_empty_list(untouched):
    with untouched(), pytest.raises(ValueError, match="<ParallelMap>"):
        ParallelMap(f, [], 4)


class TestOutputDir:
    def test_is_a_file(self, untouched, workdir):
        Path("notes.txt").write_text("keep me")
        with untouched(), pytest.raises(OSError, match=r"notes\.txt"):
            ParallelMap(f, [2, 4], 4, output_dir=workdir / "notes.txt")

    def test_is_below_a_file(self, untouched, workdir):
        Path("notes.txt").write_text("keep me")
        with untouched(), pytest.raises(OSError, match=r"notes\.txt"):
            ParallelMap(f, [2, 4], 4, output_dir=workdir / "notes.txt" / "results")

    @pytest.mark.parametrize("below", ["", "results"])
    def test_is_not_writable(self, run_python, below):
        first, *listing = run_python("-c", UNWRITABLE, below).stdout.splitlines()
        assert first.startswith("True ")
        assert "locked" in first
        assert listing == ["[]"]

    def test_cannot_be_written_even_by_root(self, no_client, workdir):
        # procfs: access checks as root pass, creating a folder fails.
        with pytest.raises(OSError, match="/proc/results"):
            ParallelMap(f, [2, 4], 4, output_dir="/proc/results").compute()
        assert current_client() is None

    def test_holds_results_of_this_function(self, untouched, workdir):
        with ParallelMap(f, [2, 4], 4, output_dir=workdir / "out") as pmap:
            pmap.compute(debug=True)
        with untouched(), pytest.raises(OSError, match="resume=True") as caught:
            ParallelMap(f, [6, 8], 4, output_dir=workdir / "out").compute()
        assert "output_dir" in str(caught.value)

    def test_second_run_of_the_same_object_is_an_error(self, untouched, workdir):
        with ParallelMap(f, [2, 4], 4, output_dir=workdir / "out") as pmap:
            pmap.compute(debug=True)
            with untouched(), pytest.raises(OSError, match="resume=True"):
                pmap.compute(debug=True)

    def test_existing_folder_with_other_files_survives_every_error(self, untouched, workdir):
        (workdir / "mine").mkdir()
        (workdir / "mine" / "notes.txt").write_text("keep me")
        with untouched():
            with pytest.raises(ValueError, match="n_inputs"):
                ParallelMap(f, [2, 4], 4, output_dir=workdir / "mine", n_inputs=0)
            with pytest.raises(TypeError, match="unsupported operand"):
                ParallelMap(f, [2, 4], None, output_dir=workdir / "mine").compute(debug=True)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        ((3, 3), ValueError),
        ((None, None), ValueError),
        ((None, -3), ValueError),
        ((None, np.inf, np.inf), ValueError),
        ((None, "3"), TypeError),
        ("None, 3", TypeError),
        (3, TypeError),
    ],
    ids=["no None", "two None", "negative", "two inf", "text in it", "text", "a number"],
)
def test_result_shape(untouched, shape, error):
    with untouched(), pytest.raises(error, match="result_shape"):
        ParallelMap(f, [2, 4], 4, result_shape=shape)


def test_result_dtype(untouched):
    with untouched(), pytest.raises(TypeError, match="result_dtype"):
        ParallelMap(f, [2, 4], 4, result_shape=(None, 1), result_dtype="flaot")


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("n_workers", 0, ValueError),
        ("n_workers", "many", (TypeError, ValueError)),
        ("write_worker_results", "no", TypeError),
        ("dryrun", 1, TypeError),
        ("verbose", "yes", TypeError),
        ("setup_timeout", -1, ValueError),
    ],
)
def test_other_options(untouched, option, value, error):
    with untouched(), pytest.raises(error, match=option):
        ParallelMap(f, [2, 4], 4, **{option: value})


def test_invalid_memory_size(untouched):
    with untouched(), pytest.raises(ValueError, match=r"'lots'.*8GB"):
        ParallelMap(f, [2, 4], 4, mem_per_worker="lots")


def test_single_file_with_write_pickle(untouched):
    with untouched(), pytest.raises(ValueError, match="single_file"):
        ParallelMap(f, [2, 4], 4, single_file=True, write_pickle=True)


def test_function_that_cannot_be_pickled(no_client, workdir):
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x

    with pytest.raises((TypeError, ValueError), match="locked"):
        ParallelMap(locked, [1, 2]).compute()
    assert current_client() is None
    assert list(workdir.iterdir()) == []


def test_argument_that_cannot_be_pickled(no_client, workdir):
    with pytest.raises((TypeError, ValueError), match="y"):
        ParallelMap(f, [1, 2], threading.Lock()).compute()
    assert current_client() is None
    assert list(workdir.iterdir()) == []


def test_result_that_cannot_be_stored(workdir, client):
    def stuck(x):
        return threading.Lock() if x == 1 else x

    with ParallelMap(stuck, [0, 1, 2]) as pmap, pytest.raises(ComputeError) as caught:
        pmap.compute()
    assert list(caught.value.failures) == [1]
    assert "pickle" in str(caught.value)
    assert sorted(path.name for path in Path(pmap.output_dir, "stuck_payload").iterdir()) == [
        "stuck_0.h5",
        "stuck_2.h5",
    ]
