"""Functions defined in a notebook, whose kernel already runs an event loop."""

from __future__ import annotations

import nbclient
import nbformat


def run(workdir, *cells: str) -> list[str]:
    """Run the cells in a new kernel; return the standard output of each."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(workdir)}}
    ).execute()
    return [
        "".join(
            output["text"]
            for output in cell["outputs"]
            if output["output_type"] == "stream" and output["name"] == "stdout"
        )
        for cell in book.cells
    ]


def test_functions_of_a_notebook(workdir):
    printed = run(
        workdir,
        "from acme import ParallelMap\nfactor = 3",
        "def f(x, y):\n    return (x + y) * factor",
        "with ParallelMap(f, [2, 4, 6, 8], 4) as pmap:\n    results = pmap.compute()\n"
        "print(len(results))",
        "with ParallelMap(f, [2, 4], 4, write_worker_results=False) as pmap:\n"
        "    print(pmap.compute())",
        "factor = 1\n"
        "with ParallelMap(f, [2, 4], 4, write_worker_results=False) as pmap:\n"
        "    print(pmap.compute())",
    )
    assert printed[2:] == ["4\n", "[18, 24]\n", "[6, 8]\n"]
