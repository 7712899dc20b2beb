"""Status codes of calls, as tables and files hold them."""

__all__ = ["DONE", "FAILED", "MISSING", "PICKLED", "STATUS_NAMES"]

MISSING, DONE, FAILED, PICKLED = range(4)
STATUS_NAMES = ("missing", "done", "failed", "pickled")
