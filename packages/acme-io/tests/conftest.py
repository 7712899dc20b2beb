"""Runs without workers: sinks, stores and readers of acme-io, used in this process."""

import itertools
import pickle
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from acme_io.records.call_record import FAILED, CallReport, Failure
from acme_io.records.run_record import RunInfo
from acme_io.runs.store import RunStore
from acme_io.storage.options import StorageOptions
from acme_io.storage.sink import BatchReceipt

# A slow example on a busy machine is no failure.
settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")

_NUMBERS = itertools.count()


def new_run(n_calls: int, **changes: Any) -> RunInfo:
    facts: dict[str, Any] = {
        "run_id": f"run-{next(_NUMBERS)}",
        "function": "f",
        "module": "__main__",
        "n_calls": n_calls,
        "started": time.time(),
        "host": "laptop",
        "pid": 1,
        "user": "me",
        "versions": {"acme-io": "0.1.0"},
        "options": {"n_inputs": n_calls},
        "seed": 7,
        "shared": {"y": 4},
    }
    return RunInfo(**{**facts, **changes})


def report(call: int, attempt: int = 1, /, **arguments: object) -> CallReport:
    return CallReport(
        call, 1e9 + call, 0.5, 1000, f"worker-{call % 2}", attempt, arguments or {"x": call}
    )


@dataclass
class Outcome:
    """The outcome of a run: its files and receipts."""

    output_dir: Path
    files: list[str | None]
    container: Path | None
    receipts: list[BatchReceipt] = field(default_factory=list)

    @property
    def errors(self) -> dict[int, Exception]:
        return {call: e for receipt in self.receipts for call, e in receipt.errors.items()}

    @property
    def notes(self) -> dict[int, str]:
        return {call: n for receipt in self.receipts for call, n in receipt.notes.items()}


def write_batch(store: RunStore, func: Callable[[int], object], calls: range, attempt: int = 1):
    """Write one batch as a worker does, with a pickled sink and receipt."""
    sink = pickle.loads(pickle.dumps(store.sink))
    writer = sink.open(calls)
    for call in calls:
        try:
            value = func(call)
        except Exception as error:
            failure = Failure(type(error).__name__, str(error), "Traceback …")
            writer.fail(report(call, attempt), failure)
        else:
            writer.put(report(call, attempt), value)
    return pickle.loads(pickle.dumps(writer.close()))


def run(
    output_dir: Path,
    func: Callable[[int], object],
    n_calls: int,
    options: StorageOptions | None = None,
    *,
    batch: int = 4,
    retries: Iterable[int] = (),
    name: str = "f",
    only: range | None = None,
) -> Outcome:
    """Compute `func` for every call and finish the run."""
    store = RunStore.create(output_dir, name, options or StorageOptions(), new_run(n_calls))
    calls = range(n_calls) if only is None else only
    batches = [range(a, min(a + batch, calls.stop)) for a in range(calls.start, calls.stop, batch)]
    receipts = []
    for one, attempt in [*((b, 1) for b in batches), *((range(r, r + 1), 2) for r in retries)]:
        receipts.append(write_batch(store, func, one, attempt))
        store.accept(receipts[-1])
    finish(store, receipts)
    outcome = Outcome(store.output_dir, store.payload_files(), store.container, receipts)
    store.close()
    return outcome


def finish(store: RunStore, receipts: Iterable[BatchReceipt]) -> None:
    """Fill in the columns that receipts lack, as the client does, and write the container."""
    table = store.table
    table.workers = ["worker-0", "worker-1"]
    for receipt in receipts:
        for at, call in enumerate(receipt.calls):
            table.seconds[call], table.worker[call] = 0.5, call % 2
            table.attempts[call] += 1
            if receipt.status[at] == FAILED:
                error = receipt.errors.get(call, ZeroDivisionError("division by zero"))
                table.failures[call] = Failure(type(error).__name__, str(error), "Traceback …")
    store.finish()


def failure(kind: str) -> Failure:
    return Failure(kind, "on purpose", "Traceback …")


def same(a: Any, b: Any) -> bool:
    """Equal in value, type, dtype and shape; NaN equals NaN."""
    if hasattr(a, "_fields") and hasattr(b, "_fields"):  # of a class made anew by the reader
        if type(a).__name__ != type(b).__name__ or a._fields != b._fields:
            return False
        a, b = tuple(a), tuple(b)
    if type(a) is not type(b):
        return False
    library = type(a).__module__.partition(".")[0]
    if library in ("pandas", "xarray"):
        return a is b or (_same_frames if library == "pandas" else _same_labelled)(a, b)
    if isinstance(a, np.ma.MaskedArray):
        masks = (a.mask is np.ma.nomask) == (b.mask is np.ma.nomask)
        fills = same(np.asarray(a.fill_value), np.asarray(b.fill_value))
        parts = same(a.data, b.data) and same(np.asarray(a.mask), np.asarray(b.mask))
        return masks and fills and parts and a.hardmask == b.hardmask
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (np.ndarray, np.generic)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype.names:  # gaps between fields do not count
            return all(same(a[name], b[name]) for name in a.dtype.names)
        if a.dtype.hasobject:
            return bool(np.all(a == b))
        if a.dtype.kind in "fc":
            return bool(np.array_equal(a, b, equal_nan=True))
        return np.asarray(a).tobytes() == np.asarray(b).tobytes()
    return bool(a == b or (a != a and b != b))


def _same_frames(a: Any, b: Any) -> bool:
    import pandas as pd

    if isinstance(a, (pd.Timestamp, pd.Timedelta)):
        if pd.isna(a):
            return True
        return bool(a == b and a.unit == b.unit and getattr(a, "tz", 0) == getattr(b, "tz", 0))
    if not isinstance(a, (pd.Index, pd.Series, pd.DataFrame)):
        return bool(a == b)
    if isinstance(a, pd.Index):
        names = same(list(a.names), list(b.names))
        if isinstance(a, pd.MultiIndex):
            codes = all(np.array_equal(x, y) for x, y in zip(a.codes, b.codes, strict=True))
            return names and codes and same(list(a.levels), list(b.levels))
        same_freq = getattr(a, "freq", None) == getattr(b, "freq", None)
        return names and same_freq and _same_columns(a, b)
    if not same(a.index, b.index) or not same(dict(a.attrs), dict(b.attrs)):
        return False
    if isinstance(a, pd.Series):
        return same(a.name, b.name) and _same_columns(a, b)
    columns = (_same_columns(a.iloc[:, at], b.iloc[:, at]) for at in range(a.shape[1]))
    return a.shape == b.shape and same(a.columns, b.columns) and all(columns)


def _same_columns(a: Any, b: Any) -> bool:
    """Compare series or indexes: dtype, then each element with its type."""
    if a.dtype != b.dtype:
        return False
    if isinstance(a.dtype, np.dtype) and a.dtype != object:
        return same(a.to_numpy(), b.to_numpy())
    # Dtypes of texts are equal whatever their storage.
    if repr(a.dtype) != repr(b.dtype):
        return False
    if hasattr(a.dtype, "categories") and not same(a.dtype.categories, b.dtype.categories):
        return False
    return same(list(a), list(b)) and bool(np.array_equal(a.isna(), b.isna()))


def _same_labelled(a: Any, b: Any) -> bool:
    def variables(value: Any) -> dict[Any, Any]:
        found = {"": value.variable} if hasattr(value, "variable") else dict(value.variables)
        return {**found, **{name: c.variable for name, c in value.coords.items()}}

    one, other = variables(a), variables(b)
    return (
        a.identical(b)
        and list(a.coords) == list(b.coords)
        and list(getattr(a, "data_vars", ())) == list(getattr(b, "data_vars", ()))
        and type(getattr(a, "name", None)) is type(getattr(b, "name", None))
        and all(v.dtype == other[name].dtype for name, v in one.items())
        and all(same(dict(v.attrs), dict(other[name].attrs)) for name, v in one.items())
        and all(
            type(index) is type(b.xindexes[name]) and index.equals(b.xindexes[name])
            for name, index in a.xindexes.items()
        )
    )


@pytest.fixture(name="run")
def run_fixture(tmp_path: Path) -> Callable[..., Outcome]:
    """`run` in a new output directory each time."""
    numbers = itertools.count()

    def start(func: Callable[[int], object], n_calls: int, *args: Any, **kwargs: Any) -> Outcome:
        return run(tmp_path / f"out{next(numbers)}", func, n_calls, *args, **kwargs)

    return start


@pytest.fixture(scope="session")  # property tests refuse a fixture of one test
def tools() -> Any:
    """The functions above, for tests that use a store step by step."""

    class Tools:
        pass

    for function in (failure, finish, new_run, report, run, same, write_batch):
        setattr(Tools, function.__name__, staticmethod(function))
    return Tools
