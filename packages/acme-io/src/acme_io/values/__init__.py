"""Return values as arrays, and back.

Lives here: the encoding of Python values, and `result_shape`, which says where the value of one
call goes in a stacked array. May import `errors` only.
"""
