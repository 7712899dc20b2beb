"""Values as one short line of text."""

__all__ = ["short_text"]

_LONGEST = 80


def short_text(value: object) -> str:
    """Return a value's `repr` on one line, cut in the middle beyond 80 characters."""
    try:
        text = " ".join(repr(value).split())
    # The text is for people; a broken `__repr__` must not fail a run.
    except Exception:
        text = object.__repr__(value)
    half = _LONGEST // 2 - 1
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"
