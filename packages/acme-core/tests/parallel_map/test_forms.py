"""Calls of all forms get the right arguments and return what they returned, in batches as alone."""

import functools

import numpy as np
import pytest

from acme_core import ComputeError, ParallelMap, each, shared

pytestmark = pytest.mark.usefixtures("workers")

N = 500


def f(x, y, z=3):
    return (x + y) * z


def numbered(x, taskID):
    return x, taskID


def keywords(**given):
    return tuple(given.items())


class Adder:
    def __init__(self, y):
        self.y = y

    def add(self, x, more=0):
        return x + self.y + more


NUMBERS = list(range(N))
FORMS = [
    (f, (NUMBERS, 4), {}, [(x + 4) * 3 for x in NUMBERS]),
    (f, (4, NUMBERS), {}, [(x + 4) * 3 for x in NUMBERS]),
    (f, (NUMBERS,), {"y": 4, "z": 5}, [(x + 4) * 5 for x in NUMBERS]),
    (f, (), {"y": NUMBERS, "x": 1}, [(x + 1) * 3 for x in NUMBERS]),
    (f, (NUMBERS,), {"y": NUMBERS, "z": range(N)}, [2 * x * x for x in NUMBERS]),
    (numbered, (NUMBERS[::-1],), {}, [(N - 1 - i, i) for i in NUMBERS]),
    (numbered, (), {"x": NUMBERS}, [(i, i) for i in NUMBERS]),
    (Adder(2).add, (NUMBERS,), {"more": NUMBERS}, [2 * x + 2 for x in NUMBERS]),
    (functools.partial(f, 1, z=2), (NUMBERS,), {}, [(x + 1) * 2 for x in NUMBERS]),
    (
        keywords,
        (),
        {"b": 1, "a": NUMBERS, "c": [2]},
        [(("b", 1), ("c", [2]), ("a", x)) for x in NUMBERS],
    ),
    (lambda: 7, (), {"n_inputs": N}, [7] * N),
]


@pytest.mark.parametrize(("func", "args", "kwargs", "expected"), FORMS)
def test_every_form_gets_its_arguments(in_memory, func, args, kwargs, expected):
    assert in_memory(func, *args, **({"n_inputs": N} | kwargs)) == expected


def rows_of_lists():
    return [[i, [i]] for i in range(N)]


ITEMS = [
    list(np.arange(N) / 2),
    [np.int16(i) for i in range(N)],
    [(i, str(i)) for i in range(N)],
    rows_of_lists(),
    [{"a": i, "b": {i}} for i in range(N)],
    [np.full(3, i) for i in range(N)],
    [np.full(3, i) if i % 2 else float(i) for i in range(N)],
    [f"text {i}" for i in range(N)],
]


@pytest.mark.parametrize("items", ITEMS, ids=lambda items: type(items[0]).__name__)
def test_items_arrive_and_return_as_they_are(in_memory, items):
    def g(item):
        return repr(item), type(item).__name__, item

    for found, item in zip(in_memory(g, items), items, strict=True):
        assert found[:2] == (repr(item), type(item).__name__)
        assert type(found[2]) is type(item)
        assert repr(found[2]) == repr(item)

    def same(item):
        return item

    for result, item in zip(in_memory(same, items), items, strict=True):
        assert type(result) is type(item)
        assert repr(result) == repr(item)


def test_items_that_calls_change_are_their_own(in_memory):
    def g(item):
        item.append(1)
        return len(item)

    assert in_memory(g, rows_of_lists()) == [3] * N
    assert in_memory(g, [[1]] * N) == [2] * N


def read_only():
    array = np.zeros(3)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ({"a": 1}, lambda value: value.clear()),
        ({"a": [1]}, lambda value: value["a"].append(2)),
        ([1, 2], lambda value: value.append(3)),
        ({1, 2}, lambda value: value.add(3)),
        (np.zeros((2, 3), order="F"), lambda value: value.fill(1)),
        (bytearray(b"ab"), lambda value: value.extend(b"c")),
    ],
    ids=["dict", "nested", "list", "set", "array", "bytearray"],
)
@pytest.mark.parametrize("by_keyword", [False, True])
def test_shared_values_that_calls_change_are_their_own(in_memory, value, change, by_keyword):
    def g(x, value):
        seen = repr(value), getattr(value, "strides", None)
        change(value)
        return seen

    expected = [(repr(value), getattr(value, "strides", None))] * N
    if by_keyword:
        assert in_memory(g, range(N), value=shared(value)) == expected
    else:
        assert in_memory(g, range(N), shared(value)) == expected


def test_read_only_arrays_stay_read_only(in_memory):
    def g(x, array):
        return array.flags.writeable

    assert in_memory(g, range(N), shared(read_only())) == [False] * N


@pytest.mark.parametrize("make", [list, lambda seen: (0, seen), lambda seen: {"seen": seen}])
def test_results_are_snapshots(in_memory, make):
    seen = []

    def g(x):
        seen.append(x)
        return seen if make is list else make(seen)

    results = in_memory(g, range(N))
    for x, result in enumerate(results):
        numbers = result if make is list else make(None) and list(_only_list(result))
        assert numbers[-1] == x
    assert len({id(result) for result in results}) == N


def _only_list(result):
    return result[1] if isinstance(result, tuple) else result["seen"]


class Trouble:
    """An item that cannot be unpickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return _raise, (self.error,)


def _raise(error):
    raise error("not here")


@pytest.mark.parametrize("error", [ValueError, StopIteration])
def test_an_item_that_cannot_be_unpickled_fails_its_call_only(error):
    items = [Trouble(error) if i in (0, 7, N - 1) else [i] for i in range(N)]
    with ParallelMap(
        lambda item, x: x, each(items), range(N), write_worker_results=False, verbose=False
    ) as pmap:
        with pytest.raises(ComputeError, match=f"3 of {N} calls") as caught:
            pmap.compute()
        assert sorted(pmap.failures) == [0, 7, N - 1]
    expected = [None if i in (0, 7, N - 1) else i for i in range(N)]
    assert caught.value.results == expected


def test_failures_among_short_calls_are_their_own(in_memory):
    def g(x, y):
        if x % 10 == 0:
            raise ValueError(f"no {x}")
        return x, y

    results = in_memory(g, range(N), y=list(range(N)), compute={"on_error": "keep"})
    assert results == [None if x % 10 == 0 else (x, x) for x in range(N)]
