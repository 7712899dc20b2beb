"""Which argument goes to which call."""

import collections
import functools
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_core import cross, each, shared
from acme_core.arguments.distribution import distribute
from acme_core.arguments.value_kinds import memory_size
from acme_core.transport.protocol import RunContext
from acme_core.worker.call_arguments import CallArguments


def f(x, y, z=3):
    return (x + y) * z


def calls(func, *args, n_inputs="auto", **kwargs):
    """Return positional and keyword arguments of all calls."""
    plan = distribute(func, args, kwargs, n_inputs)
    maker = CallArguments(RunContext(func, plan.template, plan.template.shared, seed=1))
    made = maker.for_calls(0, plan.n_calls, plan.columns(0, plan.n_calls))
    return [(list(args), kwargs) for args, kwargs in made]


def results(func, *args, n_inputs="auto", **kwargs):
    """Return the values of all calls."""
    return [func(*a, **k) for a, k in calls(func, *args, n_inputs=n_inputs, **kwargs)]


def test_list_is_distributed_and_scalar_is_shared():
    assert results(f, [2, 4, 6, 8], 4) == [18, 24, 30, 36]


@pytest.mark.parametrize(
    "x",
    [
        [2, 4, 6, 8],
        (2, 4, 6, 8),
        range(2, 9, 2),
        np.array([2, 4, 6, 8]),
        np.array([[2], [4], [6], [8]]),
        np.array([[2, 4, 6, 8]]),
    ],
)
def test_candidates(x):
    assert results(f, x, 4) == [18, 24, 30, 36]


@pytest.mark.parametrize("x", ["abcd", b"abcd", {1: 2}, {1, 2}, np.zeros((2, 3)), np.array(3)])
def test_never_distributed(x):
    assert [a[0] is x for a, _ in calls(f, x, [1, 2, 3])] == [True] * 3


def test_ambiguous_lengths():
    with pytest.raises(ValueError, match="automatic") as caught:
        distribute(f, ([2, 4, 6, 8], np.ones(3) * 4), {})
    assert type(caught.value) is ValueError
    lines = str(caught.value).split("\n")
    assert lines[0] == (
        "<ParallelMap> automatic input distribution failed: found 2 objects containing "
        "3 to 4 elements. Please specify n_inputs manually."
    )
    assert "`x` (4), `y` (3)" in lines[1]
    assert "each(x)" in lines[2]
    assert "shared(x)" in lines[2]


def test_no_candidate():
    with pytest.raises(ValueError, match="automatic") as caught:
        distribute(f, (1, 2), {})
    assert type(caught.value) is ValueError
    lines = str(caught.value).split("\n")
    assert lines[0] == (
        "<ParallelMap> automatic input distribution failed: found 0 objects to distribute among "
        "the calls. Please specify n_inputs manually."
    )
    assert lines[2:] == ["  `x`: int", "  `y`: int"]


class Tensor:
    """Not a sequence, but convertible."""

    shape = (2,)

    def tolist(self):
        return [1, 2]


class Broken:
    @property
    def shape(self):
        raise RuntimeError("not now")

    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("abc", "str of length 3; each(x) gives each call one character"),
        (b"abc", "bytes of length 3; each(x) gives each call one item"),
        (np.zeros((3, 4)), "ndarray of shape (3, 4); each(x) gives each call one row"),
        (np.array(4), "ndarray of shape ()"),
        ({"a": 1}, "dict of length 1; list(x.items()) gives each call a key and its value"),
        ({1, 2}, "set of length 2; sorted(x) gives each call one element"),
        ((i for i in "ab"), "generator; each(x) gives each call one item"),
        (Tensor(), "Tensor of shape (2,); x.tolist() gives each call one item"),
        (shared([1, 2]), "list of length 2, given to every call by shared(...)"),
        (3.5, "float"),
        (Broken(), "Broken"),
    ],
)
def test_way_to_distribute_an_argument(value, says):
    with pytest.raises(ValueError, match="found 0 objects") as caught:
        distribute(lambda x, taskID: x, (value,), {})
    assert str(caught.value).split("\n")[2:] == [f"  `x`: {says}"]


def test_no_argument_at_all():
    with pytest.raises(ValueError, match=r"found 0 objects.*\n.*by default\.$"):
        distribute(lambda taskID: 0, (), {})


@pytest.mark.parametrize("n", [3, np.int64(3), 3.0])
def test_n_inputs_picks_the_candidates(n):
    got = calls(f, [1, 2, 3], [1, 2, 3, 4], n_inputs=n)
    assert got == [([i, [1, 2, 3, 4]], {}) for i in (1, 2, 3)]


def test_same_call_n_times():
    assert results(f, 2, 3, n_inputs=4) == [15] * 4
    assert [a for a, _ in calls(f, [2], 3, n_inputs=2)] == [[[2], 3]] * 2


def test_n_inputs_without_match():
    with pytest.raises(ValueError, match="x") as caught:
        distribute(f, ([1, 2], 3), {}, 3)
    assert str(caught.value).split("\n")[0] == (
        "<ParallelMap> No object has required length of 3 matching n_inputs."
    )


@pytest.mark.parametrize("n", [0, -1, 3.6, "3", "many", float("nan"), float("inf")])
def test_wrong_value_of_n_inputs(n):
    with pytest.raises(ValueError, match="n_inputs"):
        distribute(f, ([1, 2, 3], 4), {}, n)


@pytest.mark.parametrize("n", [None, True, [3], 3j])
def test_wrong_type_of_n_inputs(n):
    with pytest.raises(TypeError, match="n_inputs"):
        distribute(f, ([1, 2, 3], 4), {}, n)


def test_empty_list():
    with pytest.raises(ValueError, match="empty"):
        distribute(f, ([], 4), {})


def test_defaults_that_make_an_argument_shared():
    def g(x, weights=np.ones(3), pair=(0, 1)):  # noqa: B008 - tested here
        return x

    weights = np.arange(3)
    got = calls(g, [1, 2, 3, 4], weights=weights, pair=[5, 6])
    assert all(k["weights"] is weights and k["pair"] == [5, 6] for _, k in got)
    with pytest.raises(ValueError, match="automatic"):
        distribute(g, ([1, 2, 3, 4],), {"pair": [1, 2, 3]})


def test_each_distributes_anything():
    rows = np.arange(6).reshape(2, 3)
    assert [a[0].tolist() for a, _ in calls(f, each(rows), 1)] == [[0, 1, 2], [3, 4, 5]]
    assert [a[0] for a, _ in calls(f, each(i * i for i in range(4)), 1)] == [0, 1, 4, 9]
    assert [a[0] for a, _ in calls(f, each({"a": 1}.items()), 1)] == [("a", 1)]
    assert [a[0] for a, _ in calls(f, each("ab"), 1)] == ["a", "b"]


def test_shared_is_never_distributed():
    got = calls(f, [1, 2, 3], shared([1, 2, 3]))
    assert got == [([i, [1, 2, 3]], {}) for i in (1, 2, 3)]


@pytest.mark.parametrize("value", [3, None, np.array(3)])
def test_each_needs_an_iterable(value):
    with pytest.raises(TypeError, match="needs an iterable"):
        each(value)


@pytest.mark.parametrize("mark", [each, cross])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": 1}, r"\(d.items\(\)\).*\(d.values\(\)\).*\(list\(d\)\)"),
        (collections.OrderedDict(a=1), r"OrderedDict.*\(d.items\(\)\)"),
        ({1, 2}, r"\(sorted\(s\)\)"),
        (frozenset("ab"), r"frozenset.*\(sorted\(s\)\)"),
    ],
)
def test_values_without_order(mark, value, says):
    with pytest.raises(TypeError, match=rf"{mark.__name__}\(\.\.\.\) needs items in order.*{says}"):
        mark(value)


def test_generator_is_read_as_needed():
    drawn = []

    def items():
        for i in range(5):
            drawn.append(i)
            yield i

    plan = distribute(f, (each(items()), 1), {}, 5)
    assert drawn == []
    assert list(plan.columns(0, 2)[0]) == [0, 1]
    assert drawn == [0, 1]
    assert plan.exhausted


@pytest.mark.parametrize(("n_items", "found"), [(3, "has 3 items"), (6, "more than 5")])
def test_generator_of_wrong_length(n_items, found):
    plan = distribute(f, (each(iter(range(n_items))), 1), {}, 5)
    with pytest.raises(ValueError, match=f"n_inputs is 5.*{found}"):
        plan.columns(0, 5)


def test_generator_cannot_be_read_again():
    plan = distribute(f, (each(iter(range(3))), 1), {}, 3)
    plan.columns(0, 3)
    with pytest.raises(ValueError, match="Pass a list"):
        plan.columns(0, 3)


def test_each_whose_length_differs_from_n_inputs():
    with pytest.raises(ValueError, match=r"No object has required length of 3[^`]*`x`"):
        distribute(f, (each([1, 2]), 4), {}, 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        (([1, 2],), {}, "missing a required argument: 'y'"),
        (([1, 2], 1, 2, 3), {}, "too many positional arguments"),
        (([1, 2], 1), {"w": 3}, "unexpected keyword argument 'w'"),
        (([1, 2], 1), {"x": 3}, "multiple values for argument 'x'"),
    ],
)
def test_wrong_arguments(args, kwargs, says):
    with pytest.raises(ValueError, match=says) as caught:
        distribute(f, args, kwargs)
    assert "`x`, `y`, `z`" in str(caught.value)


def test_keywords_for_positional_parameters_in_any_order():
    assert results(f, y=4, x=[2, 4, 6, 8]) == [18, 24, 30, 36]
    assert results(f, [2, 4], z=1, y=[1, 2]) == [3, 6]


def test_kinds_of_parameters():
    def g(a, /, b, *rest, c, **others):
        return a, b, rest, c, others

    assert results(g, [1, 2], 3, [4, 5], c=6, d=[7, 8]) == [
        (1, 3, (4,), 6, {"d": 7}),
        (2, 3, (5,), 6, {"d": 8}),
    ]

    def keywords_only(*, a, b=2):
        return a * b

    assert results(keywords_only, a=[1, 2]) == [2, 4]


@pytest.mark.parametrize("func", [np.add, max, functools.partial(f, z=3), (lambda a, b: a + b)])
def test_kinds_of_callables(func):
    assert len(results(func, [1, 2], 3)) == 2


def test_without_signature_only_positional_arguments():
    class NoSignature:
        __signature__ = "none"

        def __call__(self, *args):
            return sum(args)

    assert results(NoSignature(), [1, 2], 3) == [4, 5]
    with pytest.raises(ValueError, match="positional arguments only"):
        distribute(NoSignature(), ([1, 2],), {"b": 3})


def test_task_id_is_the_number_of_the_call():
    def g(x, taskID):
        return x, taskID

    assert results(g, [5, 6]) == [(5, 0), (6, 1)]
    assert distribute(g, ([5, 6],), {}).warnings == ()
    for args, kwargs in ((([5, 6], 9), {}), (([5, 6],), {"taskID": [7, 8]})):
        assert "taskID" in distribute(g, args, kwargs).warnings[0]
        assert results(g, *args, **kwargs) == [(5, 0), (6, 1)]


@pytest.mark.parametrize("default", ["required", None])
def test_each_call_gets_its_own_rng(default):
    if default is None:

        def g(x, rng=None):
            return rng.random()
    else:

        def g(x, rng):
            return rng.random()

    drawn = results(g, [1, 2, 3])
    assert len(set(drawn)) == 3
    seeds = np.random.SeedSequence(1).spawn(3)
    assert drawn == [np.random.default_rng(seed).random() for seed in seeds]


def test_rng_with_a_value_or_default_is_unchanged():
    def g(x, rng=5):
        return rng

    assert results(g, [1, 2]) == [5, 5]
    assert results(lambda x, rng=None: rng, [1, 2], rng=7) == [7, 7]


@pytest.mark.parametrize("rng", [np.random.default_rng(1), np.random.RandomState(1)])
def test_shared_generator_is_refused(rng):
    with pytest.raises(ValueError, match="`rng`"):
        distribute(f, ([1, 2], rng), {})


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(), min_size=n, max_size=n),
            st.lists(st.text(), min_size=n, max_size=n),
        )
    ),
    st.booleans(),
)
def test_candidates_of_equal_length_are_zipped(lists, by_keyword):
    """Call i gets element i of every candidate, wherever it was passed."""
    numbers, texts = lists

    def g(a, b):
        return a, b

    got = results(g, numbers, b=texts) if by_keyword else results(g, numbers, texts)
    assert got == list(zip(numbers, texts, strict=True))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.data())
def test_batches_cover_all_items(lengths, data):
    """Each call gets its own item, however the calls are cut into batches."""
    n = sum(lengths) or 1
    plan = distribute(f, (list(range(n)), each(iter(range(n)))), {}, n)
    seen, at = [], 0
    while at < n:
        step = data.draw(st.integers(1, n - at))
        a, b = plan.columns(at, at + step)
        seen += zip(a, b, strict=True)
        at += step
    assert seen == [(i, i) for i in range(n)]


@pytest.mark.parametrize("make", [list, tuple])
def test_writable_datasets_among_other_items_are_refused(make, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
        for item in (file, file["x"], file["/"]):
            with pytest.raises(ValueError, match="the HDF5 object for `x` is open for writing"):
                distribute(lambda x: x, (make([1, "a", item, None]),), {})
    with pytest.raises(ValueError, match="the HDF5 object for `x` is closed"):
        distribute(lambda x: x, (make([1, file]),), {})
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert distribute(lambda x: x, (make([1, file["x"]]),), {}).n_calls == 2


def test_items_of_a_list_are_not_checked_one_by_one():
    class Shy(int):
        @property
        def __class__(self):
            raise AssertionError("checked by isinstance")

    assert distribute(lambda x: x, ([Shy(1), Shy(2)],), {}).n_calls == 2


@pytest.mark.parametrize(
    "items", [[1, 2.0, "text", None, b"b", True, 1j], [[1, 2], [3]], [np.zeros(3), 1], []]
)
def test_size_of_a_list_includes_its_items(items):
    sizes = [memory_size(item) for item in items]
    assert memory_size(items) == sys.getsizeof(items) + sum(sizes)
