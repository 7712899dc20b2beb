"""One run on disk, from the client's and the reader's side.

Lives here: the store of a run and its lock, the check of the output directory, recovery of results
without receipts, the scan of a folder, and reading single calls. Others import `RunStore`,
`finished_calls`, `check_output_dir`, `find_source`, `RunReader` and `Call`. May import `storage`
and the rooms below.
"""
