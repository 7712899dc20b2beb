"""What is to be computed: a function, its arguments, and where the results go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from acme_core.distribution import Distribution
from acme_core.options import MapOptions
from acme_core.orders import RunOrder
from acme_core.signatures import function_name

if TYPE_CHECKING:
    from acme_core.estimate import Measurement
    from acme_core.run import Run

__all__ = ["Work"]


@dataclass
class Work:
    """A function, its arguments, and where the results go.

    Parameters
    ----------
    func : callable
        The function.
    distribution : Distribution
        Its arguments.
    options : MapOptions
        Where results go.
    """

    func: Callable[..., Any]
    distribution: Distribution
    options: MapOptions

    def order(self, seed: int) -> RunOrder:
        """Return what workers need to know to make the arguments of a call and to evaluate it."""
        template = self.distribution.template
        slots = None if self.options.write_worker_results else self.options.slots
        # The shared values travel packed; the template need not carry them once more.
        return RunOrder(self.func, replace(template, shared={}), template.shared, seed, slots=slots)

    def order_of(self, run: Run) -> RunOrder:
        """Return the order of a run, whose results go where the run keeps them."""
        order = self.order(run.seed)
        return order if run.store is None else replace(order, sink=run.store.sink)

    def rehearse(self, seed: int | None) -> bool:
        """Run one call here; `False` if the user does not want the others after that."""
        from acme_core.rehearsal import rehearse, wants_to_go_on
        from acme_core.run import describe_run, draw_seed

        seed = draw_seed() if seed is None else seed
        name = function_name(self.func)
        info = describe_run(self, seed)
        storage = self.options.storage if self.options.write_worker_results else None
        rehearse(name, self.order(seed), self.distribution, storage, info)
        return wants_to_go_on(name, self.options.setup_interactive)

    def measure(self, seed: int) -> list[Measurement]:
        """Run some calls here, each in a process of its own, and see what memory they take."""
        from acme_core.estimate import measure

        return measure(self.order(seed), self.distribution)
