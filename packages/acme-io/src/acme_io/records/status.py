"""Status codes of calls, in tables and files."""

__all__ = ["DONE", "FAILED", "MISSING", "PICKLED", "STATUS_NAMES"]

# Part of the file format: a new status takes the next number. MISSING is 0, so that a table of
# zeros is a run before its first call.
MISSING, DONE, FAILED, PICKLED = range(4)
STATUS_NAMES = ("missing", "done", "failed", "pickled")
