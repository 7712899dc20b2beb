"""What moves a run on: the interface between the ways of evaluating calls and their drivers."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Step"]


class Step(Protocol):
    """Moves a run on, and returns whether it goes on."""

    def __call__(self, *, wait: bool = True) -> bool:
        """Wait for calls to end and take them in; without ``wait``, those that have ended."""
