"""Every mistake is reported before anything is started or written."""

import pytest

from acme_core import ParallelMap


def f(x, y, z=3):
    return (x + y) * z


@pytest.fixture(autouse=True)
def _nothing_happens(empty_folder, children):
    before = children()
    yield
    assert children() == before
    assert [p for p in empty_folder.rglob("*") if p.name != "kept"] == []


@pytest.mark.parametrize("func", [3, "f", None, f(1, 2)])
def test_not_a_function(func):
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
def test_options(options, error):
    with pytest.raises(error) as caught:
        ParallelMap(f, [1, 2, 3], 4, **options)
    assert next(iter(options)) in str(caught.value) or len(options) > 1


def test_output_dir_is_a_file(empty_folder):
    (empty_folder / "kept").write_text("mine")
    for folder in ("kept", "kept/below"):
        with pytest.raises(OSError, match="is a file"):
            ParallelMap(f, [1, 2], 4, output_dir=folder)
    assert (empty_folder / "kept").read_text() == "mine"


def test_output_dir_cannot_be_written():
    with pytest.raises(OSError, match="cannot be"):
        ParallelMap(f, [1, 2], 4, output_dir="/proc/acme")


def test_existing_folder_is_kept_when_the_dry_run_is_declined(empty_folder, monkeypatch):
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
def test_compute(options, error):
    with ParallelMap(f, [1, 2], 4) as pmap, pytest.raises(error, match=next(iter(options))):
        pmap.compute(**options)
