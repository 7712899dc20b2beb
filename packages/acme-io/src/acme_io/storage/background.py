"""Work on files in a thread of its own, while the client goes on."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["BackgroundWork"]


class BackgroundWork:
    """Does what it is given in order, in one thread.

    A second thread would only wait: h5py serializes calls of the library with a global lock.

    Parameters
    ----------
    name : str
        Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._work: list[Future[None]] = []

    def submit(self, func: Callable[..., None], *args: Any) -> None:
        """Do this after all that was submitted before; at once where the program is ending."""
        # Finished work is forgotten: a run may submit a hundred thousand parts. Work that has
        # failed is kept for `settle`.
        self._work = [one for one in self._work if not one.done() or one.exception() is not None]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        # Python ends the threads of all pools before functions registered with `atexit` are called,
        # one of which may complete a run.
        with contextlib.suppress(RuntimeError):
            self._work.append(self._pool.submit(func, *args))
            return
        self.settle()
        func(*args)

    def settle(self) -> None:
        """Wait until everything is done; raise the first exception."""
        work, self._work = self._work, []
        for one in work:
            one.result()
        self.close()

    def close(self) -> None:
        """Cancel what has not begun, and wait for the rest."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        self._work = []
