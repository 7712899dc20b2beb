"""Arguments where pandas is not installed."""

import subprocess
import sys


def test_without_pandas():
    code = """
import sys
sys.modules["pandas"] = None  # an import of it fails
from acme_core import ParallelMap, cross, each
def f(x, y):
    return x + y
for args in (([1, 2], 3), (each("ab"), "c"), (cross([1, 2]), cross([3, 4]))):
    pmap = ParallelMap(f, *args, write_worker_results=False, verbose=False)
    print(pmap.compute(debug=True))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[4, 5]", "['ac', 'bc']", "[4, 5, 5, 6]"]
