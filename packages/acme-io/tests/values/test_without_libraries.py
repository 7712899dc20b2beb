"""pandas and xarray are imported for their own values only, and not needed for reading."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from acme_io import StorageOptions

READ = """
import sys
import numpy as np

for name in ("pandas", "xarray"):
    sys.modules[name] = None  # an import raises ModuleNotFoundError

import acme_io

with acme_io.open_results(sys.argv[1]) as results:
    frame, series, dates, index, array, dataset, scalars = results[0].values
assert list(frame) == ["columns", "index"]
assert frame["columns"]["x/y"].tolist() == [1.5, 2.5]
assert frame["columns"]["text"].tolist() == ["a", "b"]
assert frame["columns"]["kind"]["codes"].tolist() == [0, -1]
assert frame["columns"]["kind"]["categories"].tolist() == ["u"]
assert frame["columns"]["whole"]["values"].tolist() == [1, 0]
assert frame["columns"]["whole"]["missing"].tolist() == [False, True]
assert frame["columns"]["object"].tolist() == ["a", None]
assert frame["index"].tolist() == [5, 7]
assert series["values"].tolist() == [1, 2]
assert dates["values"].dtype == "M8[us]"
assert index["level_0"].tolist() == ["a", "b"]
assert array["variable"]["values"].tolist() == [1, 2]
assert array["coords"]["x"]["values"].tolist() == [3, 4]
assert dataset["variables"]["a"]["values"].tolist() == [1, 2]
assert scalars[0] == np.datetime64("2020-01-01")
assert scalars[1] is None
"""

STORE = """
import sys
from pathlib import Path

import numpy as np

from acme_io.storage.registry import way_for
from acme_io.values.encoding import decode, encode

encode({"a": [np.ma.masked_equal([1, 2], 1), 1, "text", {"b": None}]})
assert not {"pandas", "xarray"} & set(sys.modules), "imported without need"
"""


def python(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_values_of_missing_libraries_are_read_as_dicts_of_arrays(run, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "x/y": [1.5, 2.5],
            "text": ["a", "b"],
            "kind": pd.Categorical(["u", None]),
            "whole": pd.array([1, None], "Int64"),
            "object": pd.Series(["a", pd.NA], dtype=object),
        }
    )
    array = xr.DataArray([1, 2], dims="x", coords={"x": [3, 4]})
    values = (
        frame.set_axis(pd.RangeIndex(5, 9, 2)),
        pd.Series([1, 2]),
        pd.Series(pd.date_range("2020", periods=2, tz="UTC", unit="us")),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]),
        array,
        array.to_dataset(name="a"),
        [pd.Timestamp("2020"), pd.NA, np.arange(3)],
    )
    for single_file in (False, True):
        done = run(lambda call: values, 1, StorageOptions(single_file=single_file))
        python(READ, done.output_dir)


def test_other_values_import_neither(tmp_path: Path) -> None:
    python(STORE)
