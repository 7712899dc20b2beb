"""Progress of a run: a bar in terminals and notebooks, a line every half minute elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)

# Seconds between two lines in logs, where a bar would leave thousands of lines.
_LINE_SECONDS = 30.0


class Progress:
    """Counts finished calls and shows their number.

    Parameters
    ----------
    total : int
        Number of calls of the run.
    shown : bool
        Whether to show anything.
    done : int
        Number of calls finished by an earlier run; they do not count for the speed.
    """

    def __init__(self, total: int, shown: bool = True, done: int = 0) -> None:
        self._total = total
        self._before = self._done = done
        self._failed = 0
        self._began = self._last_line = time.monotonic()
        self._bar: Any = None
        self._lines = shown and not _shows_bars()
        if shown and not self._lines:
            self._bar = _bar(total, done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._lines:
            self._log_line()

    def add(self, done: int, failed: int) -> None:
        """Count calls that have finished or failed."""
        self._done += done
        self._failed += failed
        if self._bar is not None:
            if failed:
                # `refresh=False`: `update` below draws the bar, at most ten times a second.
                self._bar.set_postfix(failed=self._failed, refresh=False)
            self._bar.update(done + failed)
        elif self._lines and time.monotonic() - self._last_line > _LINE_SECONDS:
            self._log_line()

    def _log_line(self) -> None:
        self._last_line = time.monotonic()
        elapsed = self._last_line - self._began
        ended = self._done + self._failed
        rate = (ended - self._before) / elapsed if elapsed > 0 else 0.0
        left = (
            f", {(self._total - ended) / rate:.0f} s left" if rate and ended < self._total else ""
        )
        logger.info(
            f"<ParallelMap> INFO: {self._done} of {self._total} calls done, {self._failed} failed, "
            f"{rate:.1f} calls/s, {elapsed:.1f} s{left}"
        )


def _shows_bars() -> bool:
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no standard error, or it is closed
        return False


def _bar(total: int, done: int) -> Any:
    # Imported here: tqdm takes 50 ms, and scripts without a terminal do not need it.
    from tqdm import tqdm

    # Without ipywidgets, tqdm's bar for notebooks raises; its text bar works there as well.
    if "ipykernel" in sys.modules and "ipywidgets" in sys.modules:
        from tqdm.notebook import tqdm
    return tqdm(total=total, initial=done, unit="call", desc="<ParallelMap>", dynamic_ncols=True)
