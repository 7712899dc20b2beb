"""The version of acme: year, month, and a count within the month."""

__version__ = "2026.11.0"
