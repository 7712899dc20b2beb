"""Draw the pictures of the how-to pages with the code that the pages show.

`hatch run docs:pictures` runs the Python blocks of `howto/tables.md` twice, in colours for light
and for dark pages, and writes the figures to `howto/pictures`.
"""

from __future__ import annotations

import doctest
import os
import re
import tempfile
from pathlib import Path

import matplotlib as mpl

HOWTO = Path(__file__).parent / "howto"
PAGE = HOWTO / "tables.md"
PICTURES = HOWTO / "pictures"
PLAIN = {"savefig.transparent": True, "savefig.dpi": 150}
STYLES = {"light": "default", "dark": "dark_background"}


def code_of(page: Path) -> str:
    """Return the Python blocks of a page as one script, without the output of doctests."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    parser = doctest.DocTestParser()
    return "\n".join(
        "".join(example.source for example in parser.get_examples(block))
        if block.startswith(">>>")
        else block
        for block in blocks
    )


def main() -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    from acme import cluster_cleanup

    code, save = code_of(PAGE), Figure.savefig
    PICTURES.mkdir(exist_ok=True)
    for name, style in STYLES.items():

        def save_here(figure: Figure, path: str, name: str = name) -> None:
            save(figure, PICTURES / f"{Path(path).stem}-{name}.png", metadata={"Software": None})

        Figure.savefig = save_here
        with tempfile.TemporaryDirectory() as folder, plt.style.context([style, PLAIN]):
            script = code.replace("/path/to", folder)
            previous = os.getcwd()
            os.chdir(folder)
            exec(compile(script, str(PAGE), "exec"), {"__name__": "page"})
            os.chdir(previous)
        plt.close("all")
    cluster_cleanup()


if __name__ == "__main__":
    main()
