"""One pickle per call, and a record beside them. Other packages import `way.Pickles` only."""
