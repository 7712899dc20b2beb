"""Return values as arrays, and back.

Lives here: the encoding of Python values, and `result_shape`, which maps each call to a position in
a stacked array. May import `errors` only.
"""
