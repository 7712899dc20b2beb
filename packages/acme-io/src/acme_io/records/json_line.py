"""JSON on one line."""

import json

# The default, ASCII, keeps text with lone surrogates, which cannot be encoded as UTF-8, and makes
# characters bytes. Anything JSON lacks becomes its `str`: a record must not fail a call. One
# encoder for all, because `json.dumps` with options makes a new one at each call.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def dumps(facts: object) -> str:
    """Return facts as one line of JSON, in ASCII."""
    return _ENCODER.encode(facts)
