"""Coroutines and generators: functions that make them, and calls that return them."""

import asyncio
import functools
import gc
import warnings

import pytest

from acme_core import ComputeError, ParallelMap


async def wait(x):
    await asyncio.sleep(0)
    return x


class Waiter:
    async def __call__(self, x):
        return x

    async def method(self, x):
        return x

    @classmethod
    async def of_class(cls, x):
        return x

    @staticmethod
    async def static(x):
        return x


@pytest.mark.parametrize(
    "func",
    [
        wait,
        Waiter(),
        Waiter().method,
        Waiter.of_class,
        Waiter.static,
        functools.partial(wait),
        functools.partial(functools.partial(Waiter().method)),
        functools.partial(Waiter()),
    ],
    ids=["function", "instance", "method", "class", "static", "partial", "partials", "partial2"],
)
def test_coroutine_functions_are_refused(func):
    with pytest.raises(TypeError, match=r"coroutine function \(async def\).*asyncio\.run"):
        ParallelMap(func, [1, 2])


def test_the_advice_works(in_memory, workers):
    def run(x):
        return asyncio.run(wait(x))

    assert in_memory(run, [1, 2]) == [1, 2]


def generates(x):
    yield x


async def generates_later(x):
    yield x


def begun(x):
    def items():
        try:
            yield x
        finally:
            raise ValueError("not to be seen")

    generator = items()
    next(generator)
    return generator


CASES = [
    (lambda x: wait(x), r"returned a coroutine.*asyncio\.run"),
    (generates, r"returned a generator.*list\(\.\.\.\)"),
    (lambda x: (i for i in range(x)), r"returned a generator.*list\(\.\.\.\)"),
    (begun, r"returned a generator.*list\(\.\.\.\)"),
    (generates_later, r"returned an async generator.*asyncio\.run"),
]


@pytest.mark.parametrize(("func", "says"), CASES)
@pytest.mark.parametrize(
    "options",
    [{"write_worker_results": False}, {}, {"write_pickle": True}, {"result_shape": (None,)}],
    ids=["memory", "files", "pickles", "stacked"],
)
def test_calls_that_return_them_fail(workers, func, says, options):
    with ParallelMap(func, [1, 2, 3], verbose=False, **options) as pmap:
        with pytest.raises(ComputeError, match=says):
            pmap.compute()
        assert sorted(pmap.failures) == [0, 1, 2]
        assert pmap.failures[1].type == "TypeError"
        assert pmap.failures[1].arguments == {"x": 2}


@pytest.mark.parametrize(("func", "says"), CASES)
@pytest.mark.parametrize("on_disk", [False, True])
def test_in_this_process_without_other_warnings(empty_folder, func, says, on_disk):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pmap = ParallelMap(func, [1, 2, 3], write_worker_results=on_disk, verbose=False)
        with pytest.raises(TypeError, match=says):
            pmap.compute(debug=True)
        gc.collect()


def test_dry_run_shows_it(empty_folder):
    pmap = ParallelMap(
        generates, [1, 2], dryrun=True, setup_interactive=False, write_worker_results=False
    )
    with pytest.raises(TypeError, match="returned a generator"):
        pmap.compute()


def test_the_other_calls_are_kept(workers):
    with ParallelMap(
        lambda x: (i for i in "ab") if x == 2 else x,
        [1, 2, 3],
        write_worker_results=False,
        verbose=False,
    ) as pmap:
        assert pmap.compute(on_error="keep") == [1, None, 3]
