"""What the user may say about one `compute`, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ComputeOptions:
    """The options of `ParallelMap.compute`, which describes them.

    Raises
    ------
    TypeError
        If an option has the wrong type.
    ValueError
        If the type is right, but not the value.
    """

    debug: bool = False
    on_error: str = "raise"
    retries: int = 0
    seed: int | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("debug", "resume"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(f"<ParallelMap> {name} must be True or False, not {value!r}.")
        if self.on_error not in ("raise", "keep", "stop"):
            raise ValueError(
                f"<ParallelMap> on_error must be 'raise', 'keep' or 'stop', not {self.on_error!r}."
            )
        object.__setattr__(self, "retries", _whole_number("retries", self.retries))
        if self.seed is not None:
            object.__setattr__(self, "seed", _whole_number("seed", self.seed))


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"<ParallelMap> {name} must be a whole number, not {value!r}.")
    if int(value) < 0:
        raise ValueError(f"<ParallelMap> {name} must not be negative, but is {value!r}.")
    return int(value)
