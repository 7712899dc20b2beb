"""Scalars of pandas, and time zones."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np

from acme_io.errors import NotStorableError
from acme_io.values.arrays import decode_array, encode_array
from acme_io.values.encoded import Array, Encode, Encoded, Form

__all__ = ["decode_scalar", "decode_zone", "encode_scalar", "encode_zone"]


def encode_scalar(value: Any, encode: Encode) -> Encoded:
    """Encode a `Timestamp`, a `Timedelta`, `NaT` or `NA`."""
    kind = type(value).__name__
    if kind in ("NaTType", "NAType"):
        return Encoded(None, ["pandas", kind])
    if kind == "Timedelta":
        plain = encode_array(np.asarray(value.to_timedelta64()))
        return Encoded(plain.array, ["pandas", kind, plain.form[1]])
    zone = None if value.tz is None else encode_zone(value.tz)
    plain = encode_array(np.asarray(value.to_datetime64()))
    return Encoded(plain.array, ["pandas", kind, plain.form[1], zone])


def decode_scalar(array: Array | None, kind: str, dtype: str = "", zone: Form = None) -> Any:
    """Restore a scalar of pandas; without pandas, None or a NumPy scalar."""
    try:
        import pandas as pd
    except ImportError:
        return None if array is None else decode_array(array.reshape(()), dtype)[()]
    if array is None:
        return pd.NaT if kind == "NaTType" else pd.NA
    moment = decode_array(array.reshape(()), dtype)[()]
    if kind == "Timedelta":
        return pd.Timedelta(moment)
    stamp = pd.Timestamp(moment)
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(decode_zone(zone))


def encode_zone(zone: Any) -> Form:
    """Return the form of a time zone; raise `NotStorableError` for an unknown class."""
    kind = type(zone)
    if kind.__name__ == "ZoneInfo" and zone.key is not None:
        return ["zoneinfo", zone.key]
    if kind is datetime.timezone:
        offset = zone.utcoffset(None) // datetime.timedelta(microseconds=1)
        return ["offset", offset, zone.tzname(None)]
    # pytz is what pandas 2 makes of a name.
    if kind.__module__.partition(".")[0] == "pytz":
        if getattr(zone, "zone", None):
            return ["pytz", zone.zone]
        return ["pytz", zone.utcoffset(None) // datetime.timedelta(minutes=1)]
    raise NotStorableError(
        f"HDF5 cannot hold times in a zone of type {kind.__module__}.{kind.__name__}."
    )


def decode_zone(form: Sequence[Any]) -> datetime.tzinfo:
    """Restore a time zone."""
    import zoneinfo

    kind, key = form[0], form[1]
    if kind == "offset":
        offset = datetime.timedelta(microseconds=key)
        zone = datetime.timezone(offset) if offset else datetime.UTC
        return zone if zone.tzname(None) == form[2] else datetime.timezone(offset, form[2])
    if kind == "pytz":
        try:
            import pytz
        except ImportError:  # the same times, under another class
            minutes = datetime.timedelta(minutes=key) if isinstance(key, int) else None
            return zoneinfo.ZoneInfo(key) if minutes is None else datetime.timezone(minutes)
        made: datetime.tzinfo = pytz.FixedOffset(key) if type(key) is int else pytz.timezone(key)
        return made
    return zoneinfo.ZoneInfo(key)
