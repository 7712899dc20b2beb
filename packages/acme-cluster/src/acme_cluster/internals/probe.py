"""Whether dask, distributed and multiprocessing are laid out as this room expects.

The table in the room's `__init__` names what is used. Attributes of classes are looked up, those of
instances are searched for among the names that the class's methods use, and parameters are read
from signatures. It takes less than a millisecond and starts nothing.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from typing import Any

__all__ = ["findings"]

logger = logging.getLogger(__name__)

# module, class or None, and the names that must be there.
_NAMES: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("distributed.nanny", "Nanny", ("instantiate", "_on_worker_exit_sync")),
    (
        "distributed.nanny",
        "WorkerProcess",
        ("start", "_run", "_on_exit", "_wait_until_connected", "_init_msg_interval"),
    ),
    ("distributed.process", None, ("_asyncprocess_finalizer",)),
    ("distributed.process", "AsyncProcess", ("start", "_start_threads", "set_exit_callback")),
    ("distributed.worker", "Worker", ("close", "start_http_server")),
    ("distributed.scheduler", "Scheduler", ("start_http_server",)),
    ("distributed.http.routing", "RoutingApplication", ("add_application", "find_handler")),
    ("distributed.deploy.spec", "SpecCluster", ("_correct_state", "_close", "new_worker_spec")),
    ("multiprocessing.context", None, ("set_spawning_popen",)),
    ("multiprocessing.spawn", None, ("get_preparation_data", "prepare")),
    ("multiprocessing.resource_tracker", None, ("_resource_tracker",)),
)

# On Linux only: elsewhere no worker is forked.
_FORK_NAMES: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("multiprocessing.forkserver", None, ("main", "read_signed")),
    ("multiprocessing.popen_forkserver", "Popen", ("_launch",)),
)

# module, class, method, and the attributes of the instance that the method sets or uses.
_INSTANCE_NAMES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "distributed.nanny",
        "Nanny",
        "__init__",
        (
            "Worker",
            "config",
            "contact_address",
            "death_timeout",
            "env",
            "memory_manager",
            "preload",
            "preload_argv",
            "scheduler_addr",
            "security",
            "services",
            "silence_logs",
            "validate",
            "worker_kwargs",
        ),
    ),
    ("distributed.nanny", "Nanny", "instantiate", ("_original_local_dir", "process")),
    (
        "distributed.nanny",
        "WorkerProcess",
        "start",
        ("child_stop_q", "init_result_q", "process", "running", "status", "stopped"),
    ),
    ("distributed.process", "AsyncProcess", "__init__", ("_process", "_proc_finalizer")),
    ("distributed.scheduler", "Scheduler", "__init__", ("start_http_server",)),
    ("distributed.deploy.spec", "SpecCluster", "__init__", ("_futures", "worker_spec")),
)

# module, class, method, and the parameters that are given by name.
_PARAMETERS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "distributed.nanny",
        "WorkerProcess",
        "__init__",
        ("worker_kwargs", "silence_logs", "on_exit", "worker", "env", "pre_spawn_env", "config"),
    ),
    (
        "distributed.nanny",
        "WorkerProcess",
        "_run",
        (
            "silence_logs",
            "init_result_q",
            "child_stop_q",
            "uid",
            "env",
            "config",
            "worker_factory",
        ),
    ),
)


def findings() -> list[str]:
    """Return what is missing, in words; an empty list if all is as expected."""
    return list(_findings())


@functools.cache
def _findings() -> tuple[str, ...]:
    import sys

    named = _NAMES + (_FORK_NAMES if sys.platform == "linux" else ())
    found: list[str] = []
    for module, cls, names in named:
        owner = _owner(module, cls)
        found += [_missing(module, cls, name) for name in names if not hasattr(owner, name)]
    for module, cls, method, names in _INSTANCE_NAMES:
        code = getattr(getattr(_owner(module, cls), method, None), "__code__", None)
        known = set() if code is None else {*code.co_names, *_inner_names(code)}
        found += [_missing(module, cls, name) for name in names if name not in known]
    for module, cls, method, names in _PARAMETERS:
        function = getattr(_owner(module, cls), method, None)
        known = set() if function is None else set(inspect.signature(function).parameters)
        found += [
            f"{module}.{cls}.{method} has no parameter `{name}`"
            for name in names
            if name not in known
        ]
    return tuple(found)


def _owner(module: str, cls: str | None) -> Any:
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return None
    return loaded if cls is None else getattr(loaded, cls, None)


def _inner_names(code: Any) -> set[str]:
    """Return the names that the functions defined inside a function use."""
    inner = [constant for constant in code.co_consts if inspect.iscode(constant)]
    return {name for one in inner for name in one.co_names}


def _missing(module: str, cls: str | None, name: str) -> str:
    return f"{module}{'' if cls is None else '.' + cls} has no `{name}`"
