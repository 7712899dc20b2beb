"""Selections of results are results: compared with selections of an array of call numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.results.selection import select

N_CALLS = 30
KINDS = {
    "links": StorageOptions(),
    "pickles": StorageOptions(pickle=True),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None, 2))),
    "stacked-single": StorageOptions(slots=Slots((2, None)), single_file=True),
}


def value(call: int) -> object:
    if call % 7 == 4:
        raise ZeroDivisionError
    return np.array([call, 0.5])


@pytest.fixture(scope="module", params=KINDS)
def results(request, tmp_path_factory, tools):
    """A run with failed calls (4, 11, 18, 25) and missing ones (0, 29)."""
    folder = tmp_path_factory.mktemp("run")
    tools.run(folder, value, N_CALLS, KINDS[request.param], batch=6, only=range(1, 29))
    with acme_io.open_results(folder, allow_pickle=True) as results:
        yield results


@pytest.fixture(scope="module", params=["links", "single", "merged", "stacked"])
def complete(request, tmp_path_factory, tools):
    """A run whose calls all have results."""
    folder, kind = tmp_path_factory.mktemp("run"), request.param
    options = KINDS.get(kind, KINDS["links"])
    tools.run(folder, lambda call: np.array([call, 0.5]), N_CALLS, options, batch=6)
    if kind == "merged":
        from acme_io.tools.merge import merge

        folder = merge(folder, folder / "merged.h5").path
    with acme_io.open_results(folder) as results:
        yield results


def several(n_calls: int) -> st.SearchStrategy[object]:
    """Everything that selects several calls."""
    positions = st.just([])
    if n_calls:
        positions = st.lists(st.integers(-n_calls, n_calls - 1), max_size=40)
    masks = st.lists(st.booleans(), min_size=n_calls, max_size=n_calls)
    return st.one_of(
        st.slices(n_calls),
        positions,
        positions.map(lambda them: np.array(them, np.int64)),
        positions.filter(lambda them: min(them, default=0) >= 0).map(
            lambda them: np.array(them, np.uint8)
        ),
        masks,
        masks.map(np.array),
    )


def model(numbers: np.ndarray, index: object) -> np.ndarray:
    return numbers[index if isinstance(index, slice) or len(index) else []].astype(int)


@given(index=several(N_CALLS))
def test_a_selection_is_that_of_an_array(results, index) -> None:
    numbers = model(np.arange(N_CALLS), index)
    some = results[index]
    assert isinstance(some, acme_io.Results)
    assert len(some) == len(numbers)
    assert [call.index for call in some] == numbers.tolist()
    assert some.status == [results.status[number] for number in numbers]
    assert some.failed == [n for n in numbers.tolist() if n in results.failed]
    assert some.missing == [n for n in numbers.tolist() if n in results.missing]
    assert some.failures == {n: f for n, f in results.failures.items() if n in numbers}
    assert some.arguments == [results.arguments[number] for number in numbers]
    for name, _ in some.table.COLUMNS:
        expected = getattr(results.table, name)[numbers]
        np.testing.assert_array_equal(getattr(some.table, name), expected)
    assert sorted(some.table.failures) == [
        at for at, number in enumerate(numbers) if number in results.failures
    ]


@given(data=st.data())
def test_a_selection_of_a_selection(results, data) -> None:
    first = data.draw(several(N_CALLS))
    numbers = model(np.arange(N_CALLS), first)
    second = data.draw(several(len(numbers)))
    some = results[first][second]
    assert [call.index for call in some] == model(numbers, second).tolist()


@given(index=several(N_CALLS))
def test_stack_of_a_selection(results, index) -> None:
    numbers = model(np.arange(N_CALLS), index)
    some = results[index]
    without = set(numbers.tolist()).intersection([*results.failed, *results.missing])
    if without == set(numbers.tolist()):
        with pytest.raises(acme_io.AcmeIOError):
            some.stack(missing="mask")
        return
    axis = results._source.stacking_axis
    stacked = np.moveaxis(some.stack(missing="mask"), axis, 0)
    masked = [number in without for number in numbers]
    assert stacked.mask.all(axis=1).tolist() == stacked.mask.any(axis=1).tolist() == masked
    expected = np.stack([numbers, np.full(len(numbers), 0.5)], axis=1)
    assert np.ma.allequal(stacked, expected)
    if without:
        with pytest.raises(acme_io.AcmeIOError):
            some.stack()
    else:
        assert type(some.stack()) is np.ndarray
        np.testing.assert_array_equal(np.moveaxis(some.stack(), axis, 0), expected)


@given(index=several(N_CALLS), size=st.integers(1, 8))
def test_chunks_of_a_selection(results, index, size) -> None:
    numbers = model(np.arange(N_CALLS), index)
    found = []
    for calls, stacked in results[index].filter(status="done").chunks(size=size):
        assert stacked.shape[results._source.stacking_axis] == len(calls) <= size
        found += list(calls)
    assert found == [n for n in numbers if n not in {*results.failed, *results.missing}]


@given(numbers=st.lists(st.integers(0, N_CALLS - 1), min_size=1, max_size=60))
def test_complete_runs_stack_without_a_mask(complete, numbers) -> None:
    rows = complete[numbers].stack()
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows[:, 0], numbers)


def test_wide_gaps_are_read_call_by_call(complete) -> None:
    np.testing.assert_array_equal(complete[[0, 29, 14]].stack()[:, 0], [0, 29, 14])


def test_selected_blocks_are_read_at_once(run, monkeypatch) -> None:
    done = run(lambda call: np.full(2, call), 100, StorageOptions(slots=Slots((None, 2))))
    with acme_io.open_results(done.output_dir) as results:
        single, spans = results._source.load, []
        read = results._source.stack
        monkeypatch.setattr(
            results._source, "load", lambda call: spans.append(call) or single(call)
        )
        monkeypatch.setattr(
            results._source, "stack", lambda i, calls, m: spans.append(calls) or read(i, calls, m)
        )
        numbers = [*range(0, 30, 3), *range(60, 80)]
        assert results[numbers].stack()[:, 0].tolist() == numbers
    assert spans[1:] == [range(28), range(60, 80)]  # one call is read for its size


def test_filter_by_status(results) -> None:
    assert results.filter(status="failed").failed == results.failed == [4, 11, 18, 25]
    assert [call.index for call in results.filter(status="missing")] == [0, 29]
    rest = results.filter(status=["done", "pickled"])
    assert len(rest) == N_CALLS - 6
    assert len(results[1:6].filter(status={"failed", "missing"})) == 1
    assert len(rest.filter(status="failed")) == 0
    with pytest.raises(ValueError, match="never 'bad'"):
        results.filter(status="bad")


@pytest.mark.parametrize("index", [N_CALLS, -N_CALLS - 1, [0, N_CALLS], np.array([-31])])
def test_a_position_outside_is_an_index_error(results, index) -> None:
    with pytest.raises(IndexError, match=r"There is no call -?3\d: there are 30 calls"):
        results[index]


@pytest.mark.parametrize("index", [[True], np.zeros(31, bool)])
def test_a_mask_of_another_length_is_an_index_error(results, index) -> None:
    with pytest.raises(IndexError, match="entries for 30 calls"):
        results[index]


@pytest.mark.parametrize(
    "index", [True, 1.0, "1", [1.5], (1, 2), None, [[1]], [[1], [2, 3]], ["a"]]
)
def test_other_indices_are_type_errors(results, index) -> None:
    with pytest.raises(TypeError, match="selected by a position"):
        results[index]


def test_indices_of_numpy_are_single_calls(results) -> None:
    assert results[np.int8(3)].index == 3
    assert results[np.array(3)].index == 3
    assert results[-2].index == 28


def test_selections_say_what_they_are(run) -> None:
    done = run(lambda call: call, 5)
    with acme_io.open_results(done.output_dir) as results:
        assert repr(results[1:3]) == f"<Results of f: 2 of 5 calls in {done.container}>"
        assert repr(results[:]) == repr(results)
        assert results[1:3].run == results.run
        assert results[[0, 4]].path == Path(done.container)


def test_lengths_of_a_selection(run) -> None:
    done = run(lambda call: np.ones(call + 1), 5, StorageOptions(slots=Slots((None, np.inf))))
    with acme_io.open_results(done.output_dir) as results:
        assert results[[3, 0]].lengths.tolist() == [4, 1]
        assert results[[3, 0]].stack().shape == (2, 5)


def test_ranges_stay_ranges() -> None:
    assert select(range(10**9), slice(5, None, 3)) == range(5, 10**9, 3)
