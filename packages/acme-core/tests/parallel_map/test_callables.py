"""Any callable works, with parameters of any name."""

import functools
from pathlib import Path

import numpy as np
import pytest

from acme_core import ParallelMap

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


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
def test_kinds(func, expected, name):
    with ParallelMap(func, [1, 2], verbose=False) as pmap:
        pmap.compute()
    assert Path(pmap.results_container).name == f"{name}.h5"
    assert [call.values for call in pmap.results] == expected


def test_closure(in_memory):
    factor = 7
    assert in_memory(lambda x: factor * x, [1, 2]) == [7, 14]


@pytest.mark.parametrize("name", ["func", "key", "retries", "outFile", "seed", "self"])
def test_parameters_of_any_name(in_memory, name):
    space = {}
    exec(f"def g(x, {name}):\n    return x, {name}", space)
    assert in_memory(space["g"], [1, 2], **{name: "v"}) == [(1, "v"), (2, "v")]


def test_parameter_named_like_an_option_is_reported(capsys):
    def g(x, verbose=None):
        return x

    ParallelMap(g, [1, 2])
    assert "functools.partial" in capsys.readouterr().err
