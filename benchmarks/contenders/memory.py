"""What memory a process takes, as Linux accounts for it."""

import os

MB = 1e6


def resident() -> int:
    """Bytes of this process that are in memory now, pages that it shares included."""
    return _status("VmRSS")


def forget_high_water() -> None:
    """Let `high_water` count from now on."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def high_water() -> int:
    """Most bytes of this process that were in memory at a time, pages that it shares included."""
    return _status("VmHWM")


def proportional(pid: int | None = None) -> int:
    """Bytes of a process, each page divided by the number of processes that share it (PSS)."""
    with open(f"/proc/{pid or os.getpid()}/smaps_rollup") as file:
        return next(_bytes(line) for line in file if line.startswith("Pss:"))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(_bytes(line) for line in file if line.startswith(name + ":"))


def _bytes(line: str) -> int:
    return 1024 * int(line.split()[1])
