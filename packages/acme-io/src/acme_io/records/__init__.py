"""What is on record about a run and about each of its calls.

`CallReport` is what a worker knows of one call, `CallTable` what the client knows of all calls,
`RunInfo` what holds for the whole run. In files they are lines of JSON and columns of numbers; the
modules here are the only ones that know how. May import `errors` only.
"""
