"""Memory of a process, from Linux's /proc."""

import os

MB = 1e6


def resident() -> int:
    """Return the resident bytes of this process, including shared pages."""
    return _status("VmRSS")


def forget_high_water() -> None:
    """Reset the peak that `high_water` returns."""
    # Writing 5 resets VmHWM (man 5 proc_pid_clear_refs).
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def high_water() -> int:
    """Return the peak resident bytes of this process, including shared pages."""
    return _status("VmHWM")


def proportional(pid: int | None = None) -> int:
    """Return the proportional set size (PSS) in bytes: shared pages count fractionally."""
    with open(f"/proc/{pid or os.getpid()}/smaps_rollup") as file:
        return next(_bytes(line) for line in file if line.startswith("Pss:"))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(_bytes(line) for line in file if line.startswith(name + ":"))


def _bytes(line: str) -> int:
    return 1024 * int(line.split()[1])
