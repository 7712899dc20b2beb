"""Asking the user, where there is one."""

from __future__ import annotations

import sys

__all__ = ["can_ask", "confirm"]


def can_ask() -> bool:
    """Tell whether somebody sits at a terminal.

    Returns
    -------
    bool
        True only if standard input is a terminal; in batch jobs, pipes and notebooks nobody can
        answer.
    """
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False


def confirm(question: str, *, default: bool = True) -> bool:
    """Ask a question that is answered by yes or no.

    Parameters
    ----------
    question : str
        Without the choices, which are appended.
    default : bool, default True
        The answer of an empty line, and of the end of the input.

    Returns
    -------
    bool
        The answer.
    """
    choices = "[Y/n]" if default else "[y/N]"
    while True:
        try:
            answer = input(f"{question} {choices} ").strip().lower()
        except EOFError:
            return default
        if answer in ("y", "yes", "n", "no", ""):
            return answer.startswith("y") if answer else default
        print("Please answer y or n.", file=sys.stderr)
