"""A worker, or a client with two workers, that writes results until it is killed.

`test_kill.py` starts it as a script. It prints the number of each call before its value goes to the
sink (`begin 3`) and after (`end 3`), which shows the test whether a kill hit during a write.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from acme_io import Slots, StorageOptions
from acme_io.records.call_record import CallReport
from acme_io.records.run_record import RunInfo
from acme_io.runs.store import RunStore

# More than a writer completes before it is killed.
N_CALLS = 100_000

WAYS = {
    "links": StorageOptions(),
    "stacked": StorageOptions(slots=Slots((None, 5000))),
    "single": StorageOptions(single_file=True),
    "pickles": StorageOptions(pickle=True),
}


def value(call: int) -> object:
    """Return a small or large array or a dict, and sometimes a value that HDF5 cannot hold."""
    if call % 7 == 6:
        return {call: np.full(3000, call)}
    if call % 3 == 1:
        return {"call": call, "data": {"all": [np.full(3000, call), np.full(50_000, call)]}}
    size = 5000 if call % 3 else 400_000
    return np.full(size, float(call))


def stacked_value(call: int) -> object:
    row = np.full(5000, float(call))
    return (row, {"call": call, "data": np.full(100, call)}) if call % 2 else row


def main() -> None:
    folder, way, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    out = os.fdopen(1, "w", buffering=1)
    run = RunInfo(f"run-{way}", "f", "kill_writer", N_CALLS, time.time(), "host", os.getpid(), "me")
    store = RunStore.create(folder, "f", WAYS[way], run)
    make = stacked_value if way == "stacked" else value
    for first in range(0, N_CALLS, batch):
        writer = store.sink.open(range(first, first + batch))
        for call in range(first, first + batch):
            out.write(f"begin {call}\n")
            writer.put(CallReport(call, time.time(), 0.01, 0, "w", 1, {"x": call}), make(call))
            out.write(f"end {call}\n")
        out.write(f"begin {first}\n")
        receipt = writer.close()
        store.accept(receipt)
        out.write(f"closed {first}\n")


if __name__ == "__main__":
    main()
