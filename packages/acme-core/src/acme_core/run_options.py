"""The options of `ParallelMap` and of `ParallelMap.compute`, checked on creation."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acme_core.arguments.value_kinds import is_real_number
from acme_io import StorageOptions

if TYPE_CHECKING:
    from acme_io import Slots


@dataclass(frozen=True)
class MapOptions:
    """The options of `ParallelMap`; its docstring describes them.

    Raises
    ------
    TypeError
        If an option has the wrong type, or NumPy does not know ``result_dtype``.
    ValueError
        If an option has the right type but a wrong value.
    OSError
        If ``logfile`` is a folder.
    """

    n_workers: Any = "auto"
    write_worker_results: bool = True
    output_dir: Any = None
    result_shape: Any = None
    result_dtype: Any = "float"
    single_file: bool = False
    write_pickle: bool = False
    dryrun: bool = False
    partition: Any = "auto"
    mem_per_worker: Any = "auto"
    setup_timeout: float = 60
    setup_interactive: bool = True
    stop_client: Any = "auto"
    verbose: bool | None = None
    logfile: Any = None
    storage: StorageOptions = field(init=False)

    def __post_init__(self) -> None:
        for name in _FLAGS:
            _check_flag(name, getattr(self, name), (bool,))
        _check_flag("verbose", self.verbose, (bool, type(None)))
        _check_n_workers(self.n_workers)
        _check_partition(self.partition)
        _check_mem_per_worker(self.mem_per_worker)
        _check_timeout(self.setup_timeout)
        if not (isinstance(self.stop_client, bool) or self.stop_client == "auto"):
            # Another text than "auto" is a wrong value, anything else a wrong type.
            kind = ValueError if isinstance(self.stop_client, str) else TypeError
            raise kind(_wrong("stop_client", "'auto', True or False", self.stop_client))
        # Absolute from here on: the user may change the current folder before compute().
        _set(self, "output_dir", _absolute("output_dir", self.output_dir))
        if not isinstance(self.logfile, bool):
            _set(self, "logfile", _absolute("logfile", self.logfile))
            if self.logfile is not None and self.logfile.is_dir():
                raise IsADirectoryError(
                    f"<ParallelMap> logfile={str(self.logfile)!r} is a folder. "
                    "Pass the name of a file in it."
                )
        _set(self, "storage", self._checked_storage())

    @property
    def slots(self) -> Slots | None:
        """The parsed ``result_shape``; `None` without one."""
        return self.storage.slots

    def _checked_storage(self) -> StorageOptions:
        slots = self._checked_slots()
        if self.write_pickle and self.result_shape is not None:
            raise ValueError(
                "<ParallelMap> write_pickle=True stores each return value unchanged, result_shape "
                "stacks them in one dataset. Leave out one of the two."
            )
        return StorageOptions(slots=slots, single_file=self.single_file, pickle=self.write_pickle)

    def _checked_slots(self) -> Slots | None:
        if self.result_shape is None and _is_default_dtype(self.result_dtype):
            return None  # the usual case does not wait for NumPy's import
        from acme_io import Slots

        if self.result_shape is None:
            # Checked even without effect, to report a misspelled dtype at once.
            Slots((None,), self.result_dtype)
            return None
        return Slots(self.result_shape, self.result_dtype)

    def on_record(self) -> dict[str, Any]:
        """Return the options that decide the content of the files, as JSON values."""
        slots = self.slots
        # As floats, because one of them may be infinite.
        shape = None if slots is None else [None if n is None else float(n) for n in slots.shape]
        return {
            "result_shape": shape,
            "result_dtype": None if slots is None else slots.dtype.str,
            "single_file": self.single_file,
            "write_pickle": self.write_pickle,
        }


@dataclass(frozen=True)
class ComputeOptions:
    """The options of `ParallelMap.compute`; its docstring describes them.

    Raises
    ------
    TypeError
        If an option has the wrong type.
    ValueError
        If an option has the right type but a wrong value.
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


# Options that are True or False.
_FLAGS = ("write_worker_results", "single_file", "write_pickle", "dryrun", "setup_interactive")
# All keywords of `ParallelMap` that are its own; other ones belong to the user's function.
OPTION_NAMES = frozenset({"n_inputs"} | {f.name for f in fields(MapOptions) if f.init})


def _is_default_dtype(dtype: object) -> bool:
    return isinstance(dtype, str) and dtype == "float"


# The dataclass is frozen; `object.__setattr__` is how its `__post_init__` may still set fields.
def _set(options: MapOptions, name: str, value: Any) -> None:
    object.__setattr__(options, name, value)


def _wrong(name: str, wanted: str, value: object) -> str:
    return f"<ParallelMap> {name} must be {wanted}, not {value!r}."


def _check_flag(name: str, value: object, kinds: tuple[type, ...]) -> None:
    if not isinstance(value, kinds):
        wanted = "True or False" if len(kinds) == 1 else "True, False or None"
        raise TypeError(_wrong(name, wanted, value))


def _check_n_workers(value: Any) -> None:
    wanted = "'auto' or a whole number of at least 1"
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(_wrong("n_workers", wanted, value))
    elif not is_real_number(value):
        raise TypeError(_wrong("n_workers", wanted, value))
    elif not float(value).is_integer() or value < 1:
        raise ValueError(_wrong("n_workers", wanted, value))


def _check_partition(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(_wrong("partition", "'auto' or the name of a partition", value))
    if not value.strip():
        raise ValueError(_wrong("partition", "'auto' or the name of a partition", value))


def _check_mem_per_worker(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(_wrong("mem_per_worker", "'auto' or a size such as '8GB'", value))
    if value != "auto":
        from acme_cluster import parse_memory

        try:
            parse_memory(value)
        except ValueError as error:
            raise ValueError(f"<ParallelMap> mem_per_worker: {error}") from None


def _check_timeout(value: Any) -> None:
    if not is_real_number(value):
        raise TypeError(_wrong("setup_timeout", "a number of seconds", value))
    if not value > 0:
        raise ValueError(_wrong("setup_timeout", "a positive number of seconds", value))


def _absolute(name: str, value: object) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise TypeError(_wrong(name, "a path", value))
    path = os.fspath(value)
    if not isinstance(path, str) or not path:
        raise ValueError(_wrong(name, "a path", value))
    return Path(os.path.abspath(os.path.expanduser(path)))


def _whole_number(name: str, value: Any) -> int:
    # `__index__` is how integers of all libraries identify themselves, and floats do not.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"<ParallelMap> {name} must be a whole number, not {value!r}.")
    if int(value) < 0:
        raise ValueError(f"<ParallelMap> {name} must not be negative, but is {value!r}.")
    return int(value)
