from __future__ import annotations

import subprocess
import sys

import pytest

import acme_cluster
from acme_cluster import errors


def test_every_public_name_exists() -> None:
    for name in acme_cluster.__all__:
        assert getattr(acme_cluster, name) is not None
    assert set(acme_cluster.__all__) <= set(dir(acme_cluster))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        acme_cluster.no_such_thing  # noqa: B018


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, acme_cluster; "
        "heavy = ('dask', 'distributed', 'bokeh', 'numpy', 'psutil'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ArgumentTypeError, TypeError),
        (errors.ArgumentValueError, ValueError),
        (errors.WorkerStartError, RuntimeError),
        (errors.WorkerTimeoutError, TimeoutError),
        (errors.CommandError, OSError),
        (errors.SiteError, ValueError),
    ],
)
def test_errors_are_builtin_ones_too(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)
    assert issubclass(error, errors.ClusterError)
