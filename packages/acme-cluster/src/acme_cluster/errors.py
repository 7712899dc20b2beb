"""Every error that this package raises on its own account.

Each class is also the builtin class that a caller would expect, so `except ValueError` works as
well as `except ClusterError`.
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
    """Common base of the errors of this package."""


class ArgumentTypeError(ClusterError, TypeError):
    """An argument has a type that cannot mean anything here."""


class ArgumentValueError(ClusterError, ValueError):
    """An argument has the right type and an impossible value."""


class DeclinedError(ClusterError, RuntimeError):
    """The user answered a question with no, so nothing was started."""


class WorkerStartError(ClusterError, RuntimeError):
    """Workers could not be started."""


class WorkerTimeoutError(ClusterError, TimeoutError):
    """No worker came online in the time that was allowed."""


class SiteError(ClusterError, ValueError):
    """The description of a site has a wrong key or a wrong value."""


class SlurmUnavailableError(ClusterError, RuntimeError):
    """The machine has no SLURM commands."""


class CommandError(ClusterError, OSError):
    """A command of the batch system failed or did not answer in time.

    Parameters
    ----------
    command : sequence of str
        The command as it was run.
    exit_code : int or None
        Its exit code; None if it had to be stopped, or could not be started.
    output : str
        What it wrote to its two output channels.
    advice : str
        What the user can do about it.
    """

    def __init__(
        self, command: Sequence[str], exit_code: int | None, output: str, advice: str = ""
    ) -> None:
        self.command = tuple(command)
        self.exit_code = exit_code
        self.output = output.strip()
        self.advice = advice
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return command, outcome, output and advice on lines of their own."""
        outcome = "did not answer" if self.exit_code is None else f"exit code {self.exit_code}"
        lines = [f"The command `{' '.join(self.command)}` failed ({outcome})."]
        lines += [f"Its output: {self.output or '(none)'}"]
        lines += [self.advice] if self.advice else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[CommandError], tuple[Sequence[str], int | None, str, str]]:
        """Pickle by the four parts, not by the message."""
        return type(self), (self.command, self.exit_code, self.output, self.advice)
