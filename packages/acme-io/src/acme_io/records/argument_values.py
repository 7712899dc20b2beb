"""Arguments on record as values that can be compared and put into a table."""

from typing import Any

import numpy as np

__all__ = ["argument_value"]


def argument_value(summary: Any) -> Any:
    """Return the value of an argument on record, or a short text if its value is not on record.

    Parameters
    ----------
    summary : object
        What `acme_io.records.summaries.describe` returned.

    Returns
    -------
    object
        The number, text or `None` that was passed, NumPy scalars with their type; for other
        arguments type, shape and dtype or length, as in `"numpy.ndarray of shape (3,), <f8"`.
    """
    if not isinstance(summary, dict):
        return summary
    kind, text = str(summary.get("type", "object")), summary.get("value")
    if text is not None:
        try:
            return _parsed(kind, text, summary.get("dtype"))
        except (KeyError, ValueError, TypeError):
            return text  # of a subclass, or in a form that only its class can read
    kind = kind.removeprefix("builtins.")
    if "shape" in summary:
        return f"{kind} of shape {tuple(summary['shape'])}, {summary['dtype']}"
    return f"{kind} of length {summary['length']}" if "length" in summary else kind


def _parsed(kind: str, text: str, dtype: str | None) -> Any:
    if dtype is not None:
        # NumPy reads neither "True" nor "3 hours" back.
        if dtype == "|b1":
            return np.bool_(text == "True")
        number = text.partition(" ")[0] if dtype[1:3] == "m8" else text
        return np.array(number).astype(dtype)[()]
    return {"builtins.int": int, "builtins.float": float, "builtins.complex": complex}[kind](text)
