"""Debugging and dry runs take place in this process."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from acme_core import ParallelMap, each


def f(x, y, z=3):
    return (x + y) * z


def test_debug_is_sequential_in_this_process(empty_folder, children):
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


def test_debug_raises_the_users_exception(empty_folder):
    with (
        pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*"),
        ParallelMap(f, [2, 4, 6, 8], 4, z=None) as pmap,
    ):
        pmap.compute(debug=True)
    assert pmap.results_container is None
    assert list(empty_folder.iterdir()) == []


def test_debug_in_memory(in_memory, empty_folder):
    assert in_memory(f, [2, 4], 4, compute={"debug": True}) == [18, 24]
    assert list(empty_folder.iterdir()) == []


def test_declined_dry_run(empty_folder, monkeypatch, capsys, children):
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


def test_dry_run_without_terminal_continues(in_memory, workers):
    results = in_memory(f, each(iter([2, 4, 6, 8])), 4, n_inputs=4, dryrun=True)
    assert results == [18, 24, 30, 36]
