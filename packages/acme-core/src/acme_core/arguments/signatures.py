"""The name of a callable and the arguments that it takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

FILLED_IN = ("taskID", "rng")
"""Parameters that ACME fills in if the user gives no value."""


def function_name(func: Callable[..., Any]) -> str:
    """Return the name of a callable; a partial has the name of its function."""
    while isinstance(func, functools.partial | functools.partialmethod):
        func = func.func
    # Instances with `__call__` have no name; some ufuncs and mocks have one that is no text.
    name = getattr(func, "__name__", None)
    return name if isinstance(name, str) else type(func).__name__


def function_module(func: Callable[..., Any]) -> str:
    """Return the name of a callable's module, empty if it has none."""
    while isinstance(func, functools.partial):
        func = func.func
    module = getattr(func, "__module__", None) or getattr(type(func), "__module__", "")
    return str(module)


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Whether a callable is an ``async def`` function, also as a partial, method or instance."""
    while isinstance(func, functools.partial):
        func = func.func
    # `inspect` looks through bound methods, but not at the `__call__` of an instance.
    call = getattr(type(func), "__call__", None)  # noqa: B004 # not whether it is callable
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call)


class CallSignature:
    """The parameters of a function, if Python can find them.

    Builtins and NumPy ufuncs may have no signature; they are called with positional arguments only.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.name = function_name(func)
        try:
            self._signature: inspect.Signature | None = inspect.signature(func)
        # ValueError: no signature; TypeError: `inspect` does not support this kind of callable.
        except (ValueError, TypeError):
            self._signature = None

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Parameters by name; empty without a signature."""
        return {} if self._signature is None else self._signature.parameters

    def __str__(self) -> str:
        return f"{self.name}{self._signature or '(...)'}"

    def default(self, name: str) -> Any:
        """Return the default value of a parameter, `inspect.Parameter.empty` without one."""
        parameter = self.parameters.get(name)
        return inspect.Parameter.empty if parameter is None else parameter.default

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Check that the function accepts these arguments.

        Raises
        ------
        ValueError
            If there are too few or too many arguments, or one with an unknown name.
        """
        if self._signature is None:
            if kwargs:
                raise ValueError(
                    f"<ParallelMap> {self.name} takes positional arguments only, but got "
                    f"{_listed(kwargs)} by keyword. Pass the values in order, without names."
                )
            return
        stand_ins = dict.fromkeys(self.filled_in(kwargs, len(args)))
        try:
            self._signature.bind(*args, **{**kwargs, **stand_ins})
        except TypeError as error:
            raise ValueError(
                f"<ParallelMap> {self} cannot be called with {_count(len(args))}"
                f"{' and ' + _listed(kwargs) if kwargs else ''}: {error}. "
                f"Its parameters are: {_listed(self.parameters) or 'none'}."
            ) from None

    def filled_in(self, kwargs: Mapping[str, Any], n_positional: int) -> list[str]:
        """Return the parameters among ``taskID`` and ``rng`` that ACME fills in for this call."""
        names = []
        for name in FILLED_IN:
            parameter = self.parameters.get(name)
            if parameter is None or parameter.kind in _NOT_BY_NAME:
                continue
            # A default for `rng` other than None means that the function can do without ACME's.
            given = name in kwargs or self.position(name) < n_positional
            if not given and (name == "taskID" or _is_open(parameter.default)):
                names.append(name)
        return names

    def position(self, name: str) -> int:
        """Return the index among the positional parameters; a huge number for other parameters."""
        for position, (other, parameter) in enumerate(self.parameters.items()):
            if parameter.kind not in _POSITIONAL:
                break
            if other == name:
                return position
        return 1 << 30

    def named(self, args: tuple[Any, ...]) -> list[str]:
        """Return the parameter names of positional arguments; ``args[2]`` for one of ``*args``."""
        positional = [n for n, p in self.parameters.items() if p.kind in _POSITIONAL]
        extra = [f"args[{i}]" for i in range(len(positional), len(args))]
        return (positional + extra)[: len(args)]


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NOT_BY_NAME = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def _is_open(default: Any) -> bool:
    return default is inspect.Parameter.empty or default is None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _count(n: int) -> str:
    return f"{n} positional argument{'' if n == 1 else 's'}"
