"""Return values as arrays and groups, and back.

Lives here: the encoding of values (`encoding`), with a module for each kind of value, and
`result_shape`, which maps each call to a position in a stacked array. May import `errors` only;
pandas and xarray are imported for their own values, by `groups`.
"""
