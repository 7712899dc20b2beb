"""An existing client is used and left running."""

import pytest

from acme_core import ParallelMap

pytestmark = pytest.mark.usefixtures("workers")


def f(x, y, z=3):
    return (x + y) * z


def test_attaching_is_logged(capsys, workers):
    with ParallelMap(f, [1, 2], 3, n_workers=3, write_worker_results=False) as pmap:
        pmap.compute()
    said = capsys.readouterr().err
    attaching = f"<ParallelMap> INFO: Attaching to global parallel computing client {workers}"
    assert attaching in said
    assert "n_workers has no effect" in said
    assert workers.status == "running"
    assert pmap.client is workers
    assert pmap.n_workers == 2
