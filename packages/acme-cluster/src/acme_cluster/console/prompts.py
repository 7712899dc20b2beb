"""Questions at the terminal."""

from __future__ import annotations

import sys

__all__ = ["can_ask", "confirm"]


def can_ask() -> bool:
    """Return whether standard input is a terminal.

    Returns
    -------
    bool
        False in batch jobs, pipes and notebooks, where nobody can answer.
    """
    # Standard input is None under pythonw and in some daemons.
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # standard input was closed
        return False


def confirm(question: str, *, default: bool = True) -> bool:
    """Ask a yes-or-no question until it is answered.

    Parameters
    ----------
    question : str
        The question. The choices are appended.
    default : bool, default True
        Meaning of an empty line, and of the end of the input.

    Returns
    -------
    bool
        True for yes.
    """
    # The capital letter marks the default, as in most shell programs.
    choices = "[Y/n]" if default else "[y/N]"
    while True:
        try:
            answer = input(f"{question} {choices} ").strip().lower()
        except EOFError:
            return default
        if answer in ("y", "yes", "n", "no", ""):
            return answer.startswith("y") if answer else default
        print("Please answer y or n.", file=sys.stderr)
