"""Tools for finished or interrupted runs, apart from reading.

Lives here: verify, rebuild, merge, the HTML report with its charts, and the check of a folder.
Others import `verify`, `rebuild`, `merge`, `write_report` and `examine`. May import any other room.
"""
