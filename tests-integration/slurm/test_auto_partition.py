"""`partition="auto"` chooses the smallest listed partition with enough memory for the calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

SITE = """
import dask, json, subprocess, sys
dask.config.set({"acme.sites": {"made-up": {
    "system": "slurm",
    "hostnames": ["*"],
    "partitions": {
        "24GBS": {"memory": "3GB"}, "8GBS": {"memory": "500MB"}, "16GBXS": {"memory": "1GB"}
    },
    "auto_partitions": ["24GBS", "8GBS", "16GBXS"],
}}})
from acme import ParallelMap

def fill(megabytes):
    return len(b"x" * (megabytes * 2**20))

def jobs():
    return sorted(set(subprocess.check_output(["squeue", "-h", "-o", "%P"], text=True).split()))

options = {"n_workers": 1, "write_worker_results": False, **json.loads(sys.argv[1])}
with ParallelMap(fill, [1, 2, options.pop("megabytes")], **options) as pmap:
    print(len(pmap.compute()), *jobs())
"""


@pytest.mark.parametrize(
    ("options", "partition"),
    [
        ({"megabytes": 20}, "8GBS"),
        ({"megabytes": 600}, "16GBXS"),
        # 900 MB is closer to the 1 GB of 16GBXS, which is too small with the safety margin.
        ({"megabytes": 900}, "24GBS"),
    ],
)
def test_smallest_partition_that_is_large_enough(
    sandbox: Any, options: dict[str, Any], partition: str
) -> None:
    out, err = sandbox.run(SITE, json.dumps(options))
    assert out.split() == ["3", partition]
    assert (
        f"Choosing partition {partition}, the smallest with enough memory: the largest of 3" in err
    )


def test_no_measurement_if_the_partition_is_given(sandbox: Any) -> None:
    out, err = sandbox.run(SITE, '{"megabytes": 1, "partition": "16GBXS"}')
    assert out.split() == ["3", "16GBXS"]
    assert "Measuring" not in err


def test_no_partition_is_large_enough(sandbox: Any) -> None:
    process = sandbox.start(SITE, '{"megabytes": 2600}')
    _, err = process.communicate(timeout=180)
    assert process.returncode != 0
    assert "even 24GBS has only 3" in err
    assert "mem_per_worker" in err
