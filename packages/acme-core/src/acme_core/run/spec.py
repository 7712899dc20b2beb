"""The specification of a run: a function, its arguments, and the options of `ParallelMap`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from acme_core.arguments.distribution import ArgumentKey, Distribution
from acme_core.arguments.signatures import function_name
from acme_core.run_options import MapOptions
from acme_core.transport.protocol import RunContext

if TYPE_CHECKING:
    from acme_io import StorageOptions
    from acme_io.backend import Sink

__all__ = ["RunSpec"]


@dataclass
class RunSpec:
    """A function, its arguments, and the options of `ParallelMap`.

    Parameters
    ----------
    func : callable
        The user's function.
    distribution : Distribution
        Its arguments.
    options : MapOptions
        The checked options.
    """

    func: Callable[..., Any]
    distribution: Distribution
    options: MapOptions

    @property
    def name(self) -> str:
        """Name of the function."""
        return function_name(self.func)

    @property
    def storage(self) -> StorageOptions | None:
        """The way of storing results; `None` for results in memory."""
        return self.options.storage if self.options.write_worker_results else None

    def context(
        self,
        seed: int,
        shared: Mapping[ArgumentKey, Any],
        *,
        sink: Sink | None = None,
        stop_at_failure: bool = False,
    ) -> RunContext:
        """Return the context in which a process evaluates the calls.

        ``shared`` holds the shared arguments, mutable ones frozen. Without a ``sink``, results
        return with the outcomes.
        """
        return RunContext(
            func=self.func,
            # The shared values travel frozen, in `shared`; the template would send them again.
            template=replace(self.distribution.template, shared={}),
            shared=shared,
            seed=seed,
            sink=sink,
            slots=None if self.options.write_worker_results else self.options.slots,
            stop_at_failure=stop_at_failure,
        )
