"""Facts as one line of JSON."""

import json

# Text that is no valid UTF-8 (lone surrogates) must not break a record, so everything is ASCII.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def dumps(facts: object) -> str:
    """Write facts as one line of JSON, in ASCII."""
    return _ENCODER.encode(facts)
