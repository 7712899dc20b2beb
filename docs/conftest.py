"""Run every example in the documentation pages and compare its output with the page.

The blocks of a page run from top to bottom and share their namespace and current directory.

- A ``python`` block runs as a script or, if it starts with ``>>>``, as a doctest.
- A ``text`` block below it shows terminal output of that block, including messages and warnings:
  its lines must appear in this order. If the block raised an exception, the text block must show
  the complete message as Python prints it.
- A line with ``[Y/n] answer`` makes the terminal interactive and types the answer.

Output that varies between runs is compared by kind: a time stamp matches any time stamp, a dask
client any dask client. `STAND_INS` is the complete list.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import itertools
import os
import pty
import re
import sys
import traceback
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.myst import CodeBlockParser

# Pattern -> replacement on both sides of a comparison.
STAND_INS = {
    r"ACME_\d{8}-\d{6}-\d{6}": "ACME_<time>",
    r"_\d{8}-\d{6}-\d{6}\.log": "_<time>.log",
    r'File ".*?", line \d+': "File <script>",
    r"(?m)^ +[~^]+$": "    <where>",  # varies between Python versions
    r"<Client: .*?>(?=\s|$)": "<Client>",
    r"http://127\.0\.0\.1:\d+/status": "<dashboard>",
    r"randomly picked worker #\d+": "randomly picked worker #<call>",
    r"Elapsed time is \d+\.\d+ seconds": "Elapsed time is <seconds>",
    r"memory consumption was \d+\.\d+ MB": "memory consumption was <megabytes>",
    r"\d+\.\d+ s\b": "<seconds>",
}
# The pages show runs on one machine, so a short PATH hides any batch system, also from docstring
# examples. Port 0 picks a free port, since the dashboard's default port may be taken.
os.environ["PATH"] = str(Path(sys.executable).parent)
os.environ["DASK_ACME__DASHBOARD_PORT"] = "0"
os.environ["MPLBACKEND"] = "Agg"  # pages draw figures without a screen

WORKDIR = "/my/current/workdir"
FOLDERS = "/path/to"


class Terminal(io.StringIO):
    """Output of a block, from both streams; claims to be a terminal if an answer is typed."""

    interactive = False

    def isatty(self) -> bool:
        return self.interactive


class Page:
    """State shared by the blocks of one page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workdir = folder / "workdir"
        self.folders = folder / "folders"
        self.terminal = Terminal()
        self.error = ""

    def source(self, text: str) -> str:
        """Return `text` of a page with the real folders."""
        return text.replace(FOLDERS, str(self.folders)).replace(WORKDIR, str(self.workdir))

    def shown(self, text: str) -> str:
        """Return output as the page shows it, with stand-ins for varying parts."""
        text = text.replace(str(self.folders), FOLDERS).replace(str(self.workdir), WORKDIR)
        for pattern, stand_in in STAND_INS.items():
            text = re.sub(pattern, stand_in, text)
        return text

    @contextlib.contextmanager
    def running(self, answer: str | None):
        """Redirect the standard streams to this page; type `answer` if given."""
        self.terminal, self.error = Terminal(), ""
        self.terminal.interactive = answer is not None
        keyboard = Keyboard(answer, self.terminal) if answer is not None else io.StringIO()
        stdin, sys.stdin = sys.stdin, keyboard
        try:
            with (
                contextlib.redirect_stdout(self.terminal),
                contextlib.redirect_stderr(self.terminal),
            ):
                yield
        finally:
            sys.stdin = stdin
            keyboard.close()


class Keyboard(io.TextIOWrapper):
    """Reading end of a pseudo-terminal with one line of typed input."""

    def __init__(self, answer: str, screen: Terminal) -> None:
        self.master, slave = pty.openpty()
        os.write(self.master, f"{answer}\n".encode())
        self.screen = screen
        super().__init__(open(slave, "rb", buffering=0), line_buffering=True)  # noqa: SIM115

    def readline(self, size: int = -1, /) -> str:
        """Read a line and echo it on the terminal."""
        line = super().readline(size)
        self.screen.write(line)
        return line

    def close(self) -> None:
        super().close()
        with contextlib.suppress(OSError):
            os.close(self.master)


class Checker(doctest.OutputChecker):
    """Compare output after inserting stand-ins."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(self.page.shown(want), self.page.shown(got), optionflags)


class PageParser:
    """Find the blocks of a page and choose how to evaluate each."""

    def __init__(self) -> None:
        self.python = CodeBlockParser("python", self.run_script)
        self.text = CodeBlockParser("text", self.compare)
        self.doctests = DocTestStringParser(self.run_doctest)

    def __call__(self, document: Document) -> list[Region]:
        blocks = sorted(
            [*self.python(document), *self.text(document)], key=lambda block: block.start
        )
        regions: list[Region] = []
        for block, following in itertools.pairwise([*blocks, None]):
            if block.evaluator == self.compare and (
                not regions or regions[-1].evaluator == self.compare
            ):
                raise ValueError(f"{document.path}: a text block without a python block above it")
            if block.evaluator == self.run_script and block.parsed.startswith(">>>"):
                for example in self.doctests(block.parsed, document.path):
                    example.adjust(block, block.parsed)
                    regions.append(example)
                continue
            text = following is not None and following.evaluator == self.compare
            block.lexemes["below"] = following.parsed if text else ""
            regions.append(block)
        return regions

    def run_script(self, example: Example) -> None:
        page: Page = example.namespace["_page"]
        below = example.region.lexemes["below"]
        answer = re.search(r"\[Y/n\] (.*)", below)
        source = "\n" * (example.line + example.parsed.line_offset) + page.source(example.parsed)
        code = compile(source, example.path, "exec", dont_inherit=True)
        with page.running(answer and answer[1]):
            try:
                exec(code, example.namespace)
            except Exception as error:
                page.error = "".join(traceback.format_exception_only(error)).strip()
        if page.error and page.shown(page.error) not in page.shown(below.strip()):
            raise AssertionError(f"this block raised, and the page does not show it:\n{page.error}")

    def run_doctest(self, example: Example) -> str:
        page: Page = example.namespace["_page"]
        parsed = doctest.Example(
            page.source(example.parsed.source),
            example.parsed.want,
            exc_msg=example.parsed.exc_msg,
            lineno=example.parsed.lineno,
            options=example.parsed.options,
        )
        runner = doctest.DocTestRunner(
            checker=Checker(page), verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE
        )
        test = doctest.DocTest([parsed], {}, example.path, None, parsed.lineno, None)
        test.globs = example.namespace  # DocTest copies the names; share the page's instead
        report: list[str] = []
        with page.running(answer=None):
            runner.run(test, out=report.append, clear_globs=False)
        return "".join(report)

    def compare(self, example: Example) -> str:
        page: Page = example.namespace["_page"]
        output = page.shown(page.terminal.getvalue() + "\n" + page.error)
        lines = iter(re.split(r"[\n\r]+", output))
        for line in page.shown(example.parsed).splitlines():
            if line.strip() and line not in lines:
                return f"line missing or out of order: {line}\noutput:\n{output}"
        return ""


@pytest.fixture(scope="module")
def _page(tmp_path_factory: pytest.TempPathFactory):
    """Provide the folders of one page; stop the workers that it leaves running."""
    page = Page(tmp_path_factory.mktemp("page").resolve())
    page.workdir.mkdir()
    previous = Path.cwd()
    os.chdir(page.workdir)
    yield page
    os.chdir(previous)
    from acme import cluster_cleanup

    cluster_cleanup()


pytest_collect_file = Sybil(
    parsers=[PageParser()], pattern="*.md", excludes=["_build/*"], fixtures=["_page"]
).pytest()
