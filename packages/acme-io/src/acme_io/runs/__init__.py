"""One run on disk, seen from the client, and its results, seen from a reader.

Lives here: the store of a run and its lock, the check of the output directory, recovery of results
that no receipt reported, the scan of a folder, and `open_results`. Others import `RunStore`,
`open_results`, `finished_calls` and `check_output_dir`. May import `storage` and the rooms below.
"""
