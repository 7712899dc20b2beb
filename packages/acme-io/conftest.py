"""The run that the examples in the docstrings of `Results` and `Call` read."""

import pytest
from _pytest.doctest import DoctestItem

# Modules whose examples use `results`.
READERS = ("acme_io.runs.call", "acme_io.results.call_sequence", "acme_io.results.results")


def power(base: int, exponent: int) -> float:
    """Return a power; `ZeroDivisionError` for a negative power of 0."""
    return base**exponent


@pytest.fixture(scope="session")
def powers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make the run in the docstring of `Results`, and return its folder."""
    from acme import ParallelMap, cross

    folder = str(tmp_path_factory.mktemp("examples") / "powers")
    arguments = cross([0, 1, 2]), cross([-1, 2])
    with ParallelMap(power, *arguments, output_dir=folder, n_workers=1, verbose=False) as pmap:
        pmap.compute(on_error="keep")
    return folder


@pytest.fixture(autouse=True)
def _example_results(request: pytest.FixtureRequest, doctest_namespace, monkeypatch):
    # Only the environment of the documentation has the packages that a run needs.
    if not isinstance(request.node, DoctestItem):
        yield
        return
    module = request.node.dtest.globs["__name__"]
    if module not in READERS:
        yield
        return
    from pathlib import Path

    import acme_io

    folder = Path(request.getfixturevalue("powers"))
    monkeypatch.chdir(folder.parent)
    with acme_io.open_results(folder) as results:
        request.node.dtest.globs["results"] = results
        yield
