"""A common interface to all libraries: running workers, and a map over them.

Each class uses its library as that library's documentation recommends, and imports it only in an
environment that has it.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

WORKERS = 2
FEW = 2000
"""Up to this many calls, the chunk size is 1, so no long call waits behind another."""


class Pool(Protocol):
    """Running workers."""

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Return ``[func(item) for item in items]``, or the files with these results."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


@runtime_checkable
class SharingPool(Pool, Protocol):
    """Workers that accept one object shared by all calls."""

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        """Return ``[func(item, shared) for item in items]``."""
        ...


@runtime_checkable
class FormPool(Protocol):
    """Workers that take calls of all forms."""

    def map_form(self, func: Callable[..., Any], n: int, *args: Any, **kwargs: Any) -> list[Any]:
        """Call ``func`` n times; sequences of length n hold one item per call, others are shared.

        A parameter ``taskID`` gets the number of the call.
        """
        ...


class Acme:
    """ACME, with results in memory, and a progress bar on a terminal."""

    options: dict[str, Any] = {"write_worker_results": False}  # noqa: RUF012 # of all its runs

    def __init__(self) -> None:
        from acme import local_cluster_setup

        self._client = local_cluster_setup(n_workers=WORKERS, interactive=False)

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        from acme import ParallelMap, each

        with ParallelMap(func, each(items), **self.options) as pmap:
            return list(pmap.compute() or ())

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        from acme import ParallelMap, each
        from acme import shared as whole

        with ParallelMap(func, each(items), whole(shared), **self.options) as pmap:
            return list(pmap.compute() or ())

    def map_form(self, func: Callable[..., Any], n: int, *args: Any, **kwargs: Any) -> list[Any]:
        from acme import ParallelMap

        with ParallelMap(func, *args, n_inputs=n, **kwargs, **self.options) as pmap:
            return list(pmap.compute() or ())

    def close(self) -> None:
        from acme import cluster_cleanup

        cluster_cleanup(self._client)


class AcmeOnDisk(Acme):
    """ACME, with results on disk, one file per call."""

    options: dict[str, Any] = {}  # noqa: RUF012 # of all its runs


class AcmeSingleFile(Acme):
    """ACME, with all results in one file."""

    options: dict[str, Any] = {"single_file": True}  # noqa: RUF012 # of all its runs


class EsiAcme:
    """esi-acme, which distributes the arguments whose length is `n_inputs`."""

    def __init__(self) -> None:
        from acme import local_cluster_setup

        self._client = local_cluster_setup(n_workers=WORKERS, interactive=False)

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return self._run(func, items)

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        return self._run(func, items, shared)

    def _run(self, func: Callable[..., Any], items: Sequence[Any], *more: Any) -> list[Any]:
        from acme import ParallelMap

        options: dict[str, Any] = {"n_inputs": len(items), "write_worker_results": False}
        with ParallelMap(func, list(items), *more, stop_client=False, **options) as pmap:
            return list(pmap.compute() or ())

    def close(self) -> None:
        from acme import cluster_cleanup

        cluster_cleanup(self._client)


class Joblib:
    """joblib with its default workers (loky), which memory-map large arrays."""

    def __init__(self) -> None:
        from joblib import Parallel

        self._parallel = Parallel(n_jobs=WORKERS)
        self._parallel.__enter__()

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        from joblib import delayed

        return list(self._parallel(delayed(func)(item) for item in items))

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        from joblib import delayed

        return list(self._parallel(delayed(func)(item, shared) for item in items))

    def map_form(self, func: Callable[..., Any], n: int, *args: Any, **kwargs: Any) -> list[Any]:
        from joblib import delayed

        if "taskID" in inspect.signature(func).parameters:
            kwargs["taskID"] = range(n)
        call, names = delayed(func), tuple(kwargs)
        positional = zip(*(_column(arg, n) for arg in args), strict=True)
        if not names:
            return list(self._parallel(call(*row) for row in positional))
        by_name = zip(*(_column(arg, n) for arg in kwargs.values()), strict=True)
        rows = zip(positional if args else itertools.repeat(()), by_name, strict=False)
        calls = (call(*row, **dict(zip(names, more, strict=True))) for row, more in rows)
        return list(self._parallel(calls))

    def close(self) -> None:
        self._parallel.__exit__(None, None, None)


class Futures:
    """`concurrent.futures`, with the chunks that its documentation advises."""

    def __init__(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self._executor = ProcessPoolExecutor(WORKERS)

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self._executor.map(func, items, chunksize=_chunk(items)))

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        return list(self._executor.map(func, items, [shared] * len(items), chunksize=1))

    def close(self) -> None:
        self._executor.shutdown()


class Mpire:
    """mpire with its defaults; workers inherit a shared object when they are forked."""

    def __init__(self) -> None:
        from mpire import WorkerPool

        self._pool = WorkerPool(WORKERS, keep_alive=True)

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        chunk = {"chunk_size": 1} if len(items) <= FEW else {}
        return list(self._pool.map(func, [(item,) for item in items], **chunk))

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        # Setting a shared object makes mpire fork its workers again. mpire compares the object with
        # the previous one, and comparing arrays is ambiguous, so a function returns the array.
        self._pool.set_shared_objects(lambda: shared)

        def swapped(whole: Callable[[], Any], item: Any) -> Any:
            return func(item, whole())

        results = list(self._pool.map(swapped, [(item,) for item in items], chunk_size=1))
        self._pool.set_shared_objects(None)
        return results

    def close(self) -> None:
        self._pool.terminate()


class PlainDask:
    """`Client.map` and `Client.gather` on a local cluster without dashboard and TLS."""

    def __init__(self) -> None:
        from distributed import Client, LocalCluster

        self._open = contextlib.ExitStack()
        cluster = self._open.enter_context(
            LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        )
        self._client = self._open.enter_context(Client(cluster))

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(self._client.gather(self._client.map(func, list(items), pure=False)))

    def map_shared(self, func: Callable[..., Any], items: Sequence[Any], shared: Any) -> list[Any]:
        scattered = self._client.scatter(shared, broadcast=True)
        futures = self._client.map(func, list(items), [scattered] * len(items), pure=False)
        return list(self._client.gather(futures))

    def close(self) -> None:
        self._open.close()


class PlainH5py:
    """Two processes that call the function and write half of the files each, with h5py."""

    def __init__(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self._executor = ProcessPoolExecutor(WORKERS)

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        folder = tempfile.mkdtemp(dir=".")
        share = -(-len(items) // WORKERS)
        starts = range(0, len(items), share)
        futures = [
            self._executor.submit(_write_files, func, items[start : start + share], folder, start)
            for start in starts
        ]
        return [path for future in futures for path in future.result()]

    def close(self) -> None:
        self._executor.shutdown()


class PandasHDF(PlainH5py):
    """Two processes that write half of the frames each, with pandas' own `DataFrame.to_hdf`."""

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        folder = tempfile.mkdtemp(dir=".")
        share = -(-len(items) // WORKERS)
        futures = [
            self._executor.submit(_write_frames, func, items[start : start + share], folder, start)
            for start in range(0, len(items), share)
        ]
        return [path for future in futures for path in future.result()]


class PlainH5pyOneFile(PlainH5py):
    """One process that writes all results to one file, with one group per call."""

    def map(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        folder = tempfile.mkdtemp(dir=".")
        return [self._executor.submit(_write_one_file, func, items, folder).result()]


def _write_files(func: Callable[..., Any], items: Sequence[Any], folder: str, start: int) -> Any:
    import h5py
    import numpy as np

    paths = [f"{folder}/{number}.h5" for number in range(start, start + len(items))]
    for path, item in zip(paths, items, strict=True):
        with h5py.File(path, "w") as file:
            value = func(item)
            if hasattr(value, "items"):  # a dict, or a frame with its columns
                group = file.create_group("result_0")
                for name, member in value.items():
                    group[name] = np.asarray(member)
            else:
                file["result_0"] = value
    return paths


def _write_frames(func: Callable[..., Any], items: Sequence[Any], folder: str, start: int) -> Any:
    paths = [f"{folder}/{number}.h5" for number in range(start, start + len(items))]
    for path, item in zip(paths, items, strict=True):
        value = func(item)
        if hasattr(value, "to_hdf"):  # not the numbers of the warm-up
            value.to_hdf(path, key="frame", format="fixed")
    return paths


def _write_one_file(func: Callable[..., Any], items: Sequence[Any], folder: str) -> str:
    import h5py

    with h5py.File(f"{folder}/all.h5", "w") as file:
        for number, item in enumerate(items):
            file[f"comp_{number}/result_0"] = func(item)
    return f"{folder}/all.h5"


def _column(argument: Any, n: int) -> Iterable[Any]:
    """Return the items of an argument for n calls."""
    distributed = getattr(argument, "ndim", 1) == 1 and not isinstance(argument, str | dict)
    if distributed and hasattr(argument, "__len__") and len(argument) == n:
        items: Iterable[Any] = argument
        return items
    return itertools.repeat(argument, n)


def _chunk(items: Sequence[Any]) -> int:
    return 1 if len(items) <= FEW else len(items) // (WORKERS * 32)


POOLS: dict[str, Callable[[], Pool]] = {
    "acme": Acme,
    "acme-on-disk": AcmeOnDisk,
    "acme-single-file": AcmeSingleFile,
    "esi-acme": EsiAcme,
    "joblib": Joblib,
    "futures": Futures,
    "mpire": Mpire,
    "Client.map": PlainDask,
    "h5py": PlainH5py,
    "h5py-one-file": PlainH5pyOneFile,
}
