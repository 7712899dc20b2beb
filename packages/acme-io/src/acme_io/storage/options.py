"""How the results of one run are stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_io.values.result_shape import Slots

__all__ = ["StorageOptions"]


@dataclass(frozen=True)
class StorageOptions:
    """How the results of one run are stored.

    Parameters
    ----------
    slots : Slots, optional
        Stack first return values into one dataset.
    single_file : bool
        Write one file, without a payload folder.
    pickle : bool
        Write one pickle per call instead of HDF5.

    Raises
    ------
    ValueError
        `single_file` or `slots` together with `pickle`: pickles are one file per call.
    """

    slots: "Slots | None" = None
    single_file: bool = False
    pickle: bool = False

    def __post_init__(self) -> None:
        """Raise `ValueError` for options that cannot be combined."""
        if self.single_file and self.pickle:
            raise ValueError(
                "single_file=True and write_pickle=True cannot be combined: pickles are one file "
                "per call. Drop one of the two."
            )
        if self.slots is not None and self.pickle:
            raise ValueError(
                "result_shape and write_pickle=True cannot be combined: pickles cannot be "
                "stacked. Drop one of the two."
            )

    def describe(self) -> dict[str, object]:
        """Return the options as a mapping for JSON; `from_description` reads it back."""
        facts: dict[str, object] = {"single_file": self.single_file, "pickle": self.pickle}
        if self.slots is not None:
            # JSON has no infinity: `json.dumps` would write `Infinity`, which is not JSON.
            shape = ["inf" if n == math.inf else n for n in self.slots.shape]
            facts |= {"result_shape": shape, "result_dtype": self.slots.dtype.str}
        return facts

    @classmethod
    def from_description(cls, facts: Mapping[str, Any]) -> "StorageOptions":
        """Return the options that `describe` wrote."""
        slots = None
        if "result_shape" in facts:
            # Imported here: the client makes options before it needs NumPy.
            from acme_io.values.result_shape import Slots

            shape = tuple(math.inf if n == "inf" else n for n in facts["result_shape"])
            slots = Slots(shape, facts["result_dtype"])
        return cls(slots, bool(facts.get("single_file")), bool(facts.get("pickle")))
