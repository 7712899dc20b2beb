"""Run the documentation examples that need SLURM; pages mark them as `py` blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs/howto"
# Use the partitions of the test cluster, and fewer and smaller workers.
HERE = {
    '"short"': '"16GBXS"',
    '"gpu"': '"GPU"',
    "n_workers=50": "n_workers=2",
    "n_workers=20": "n_workers=2",
    "cores_per_worker=4": "cores_per_worker=1",
    '"8GB"': '"600MB"',
    'cluster_setup("institute"': 'cluster_setup("institute", mem_per_worker="600MB"',
}
BEFORE = """
import dask
from acme import ParallelMap
dask.config.set({"acme.sites": {"institute": {"default_partition": "16GBXS"}}})
f, subjects = abs, [-1, -2, -3]
"""


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text()
    for shown, here in HERE.items():
        text = text.replace(shown, here)
    return [part.split("```")[0] for part in text.split("```py\n")[1:]]


@pytest.mark.parametrize("page", ["slurm.md", "gpus.md", "add-your-cluster.md"])
def test_examples_of_a_page(sandbox: Any, until: Any, page: str) -> None:
    assert blocks(page)
    sandbox.run(BEFORE + "\n".join(blocks(page)))
    until(lambda: not sandbox.jobs())
    for path in sorted(sandbox.work.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
