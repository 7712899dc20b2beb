"""All errors that this package raises.

Each class also derives from the builtin class that fits, so `except ValueError` works as well as
`except ClusterError`.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ArgumentTypeError",
    "ArgumentValueError",
    "ClusterError",
    "CommandError",
    "DeclinedError",
    "SiteError",
    "SlurmUnavailableError",
    "WorkerStartError",
    "WorkerTimeoutError",
]


class ClusterError(Exception):
    """Base class of all errors of this package."""


class ArgumentTypeError(ClusterError, TypeError):
    """An argument has the wrong type."""


class ArgumentValueError(ClusterError, ValueError):
    """An argument has the right type and a wrong value."""


class DeclinedError(ClusterError, RuntimeError):
    """The user declined at a prompt, so nothing was started."""


class WorkerStartError(ClusterError, RuntimeError):
    """Workers could not be started."""


class WorkerTimeoutError(ClusterError, TimeoutError):
    """No worker was online before the timeout."""


class SiteError(ClusterError, ValueError):
    """The description of a site has a wrong key or a wrong value."""


class SlurmUnavailableError(ClusterError, RuntimeError):
    """The machine has no SLURM commands."""


class CommandError(ClusterError, OSError):
    """A command of the batch system failed, or did not answer before its timeout.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    exit_code : int or None
        Exit code; None if the command was killed at its timeout.
    output : str
        Standard output followed by standard error.
    advice : str
        What to do next.
    """

    def __init__(
        self, command: Sequence[str], exit_code: int | None, output: str, advice: str = ""
    ) -> None:
        self.command = tuple(command)
        self.exit_code = exit_code
        self.output = output.strip()
        self.advice = advice
        # One argument only: OSError would take two or three for errno, strerror and filename.
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return command and outcome, output, and advice, one per line."""
        outcome = "did not answer" if self.exit_code is None else f"exit code {self.exit_code}"
        lines = [f"The command `{' '.join(self.command)}` failed ({outcome})."]
        lines += [f"Its output: {self.output or '(none)'}"]
        lines += [self.advice] if self.advice else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[CommandError], tuple[Sequence[str], int | None, str, str]]:
        """Pickle the four parts."""
        # `args` holds only the message, from which the default would call `__init__`.
        return type(self), (self.command, self.exit_code, self.output, self.advice)
