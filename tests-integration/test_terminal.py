"""The question after a dry run at a terminal, and both answers."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
from acme import ParallelMap

def f(x, y, z=3):
    return (x + y) * z

with ParallelMap(f, [2, 4, 6, 8], 4, dryrun=True{options}) as pmap:
    results = pmap.compute()
print("results:", results if results is None else len(results), pmap.results_container is None)
"""
QUESTION = "Do you want to continue executing f with the provided arguments? [Y/n] "


def in_terminal(script: Path, answers: str) -> str:
    """Run a script at a pseudo-terminal, type `answers`, and return the terminal's output."""
    master, slave = pty.openpty()
    os.write(master, answers.encode())
    shown = b""
    with subprocess.Popen(
        [sys.executable, script],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=script.parent,
        start_new_session=True,
    ) as process:
        os.close(slave)
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux: EIO once the last process has closed the terminal
                break
            if not piece:
                break
            shown += piece
    os.close(master)
    assert process.returncode == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def script(workdir):
    path = workdir / "script.py"
    path.write_text(SCRIPT.format(options=""))
    return path


def test_answering_no_leaves_no_files(script, workdir):
    shown = in_terminal(script, "n\n")
    assert QUESTION in shown
    assert (
        "<ParallelMap> INFO: Performing a single dry-run of f simulating randomly picked" in shown
    )
    assert "<ParallelMap> INFO: Dry-run completed. Elapsed time is" in shown
    assert "results: None True" in shown
    assert [path.name for path in workdir.iterdir()] == ["script.py"]


@pytest.mark.parametrize("answer", ["y\n", "\n"])
def test_answering_yes_continues(script, workdir, answer):
    shown = in_terminal(script, answer)
    assert QUESTION in shown
    assert "results: 4 False" in shown
    (folder,) = workdir.glob("ACME_*")
    assert sorted(path.name for path in (folder / "f_payload").iterdir()) == [
        f"f_{call}.h5" for call in range(4)
    ]


@pytest.mark.parametrize("answer", ["n\n", "y\n"])
def test_existing_folder_is_kept_for_either_answer(script, workdir, answer):
    (workdir / "mine").mkdir()
    (workdir / "mine" / "notes.txt").write_text("keep me")
    script.write_text(SCRIPT.format(options=", output_dir='mine'"))
    in_terminal(script, answer)
    assert (workdir / "mine" / "notes.txt").read_text() == "keep me"


def test_no_question_without_a_terminal(script, run_python):
    done = run_python(str(script))
    assert QUESTION not in done.stdout + done.stderr
    assert "results: 4 False" in done.stdout


def test_no_question_if_not_interactive(script):
    script.write_text(SCRIPT.format(options=", setup_interactive=False"))
    shown = in_terminal(script, "")
    assert QUESTION not in shown
    assert "results: 4 False" in shown
