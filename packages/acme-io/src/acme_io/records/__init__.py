"""The records of a run and of each of its calls.

`CallReport` describes one call as its worker saw it, `CallTable` all calls of a run, `RunInfo` the
run itself. In files they are lines of JSON and columns of numbers; only the modules here know their
form. May import `errors` only.
"""
