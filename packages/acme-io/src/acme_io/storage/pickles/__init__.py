"""One pickle per call, and a record beside them. Others import `way.Pickles` only."""
