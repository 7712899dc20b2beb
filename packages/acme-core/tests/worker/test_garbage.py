"""Garbage collection on workers."""

import gc
import os
import time
import weakref
from collections import defaultdict

import pytest

from acme_core import ParallelMap
from acme_core.worker import garbage


class Node:
    """Refers to itself: only the garbage collection can remove it."""

    def __init__(self):
        self.me = self


@pytest.fixture
def unfrozen(monkeypatch):
    monkeypatch.setattr(garbage, "_settled", False)
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_what_is_frozen_is_collected_once_the_worker_is_idle():
    node = Node()
    watched = weakref.ref(node)
    garbage.settle()
    assert gc.get_freeze_count()
    del node
    gc.collect()
    assert watched() is not None
    garbage.clean_up()
    assert watched() is None


@pytest.mark.usefixtures("unfrozen")
def test_garbage_is_not_frozen():
    watched = weakref.ref(Node())
    garbage.settle()
    assert watched() is None


@pytest.mark.usefixtures("unfrozen")
def test_a_program_that_collects_no_garbage_is_left_alone():
    gc.disable()
    try:
        garbage.settle()
    finally:
        gc.enable()
    assert not gc.get_freeze_count()


def test_workers_settle_in_a_run_of_seconds():
    def frozen(x):
        time.sleep(0.1)
        return os.getpid(), gc.get_freeze_count()

    with ParallelMap(frozen, range(80), n_workers=2, write_worker_results=False) as pmap:
        found = pmap.compute()
    counts = defaultdict(list)
    for pid, count in found:
        counts[pid].append(count)
    # Workers of earlier runs have frozen objects from the start.
    assert any(of_one[-1] > of_one[0] for of_one in counts.values())
