"""How the results of one run are stored."""

from dataclasses import dataclass

from .slots import Slots

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

    slots: Slots | None = None
    single_file: bool = False
    pickle: bool = False

    def __post_init__(self) -> None:
        """Refuse what excludes each other."""
        if self.single_file and self.pickle:
            raise ValueError(
                "single_file=True and write_pickle=True exclude each other: pickles are one file "
                "per call. Drop one of the two."
            )
        if self.slots is not None and self.pickle:
            raise ValueError(
                "result_shape and write_pickle=True exclude each other: pickles cannot be stacked. "
                "Drop one of the two."
            )
