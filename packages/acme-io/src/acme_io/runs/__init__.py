"""One run on disk, from the client's and the reader's side.

Lives here: the store of a run and its lock, the check of the output directory, recovery of results
without receipts, the scan of a folder, and `open_results`. Others import `RunStore`,
`open_results`, `finished_calls` and `check_output_dir`. May import `storage` and the rooms below.
"""
