"""Work in a thread of its own."""

import subprocess
import sys

import pytest

from acme_io.storage.background import BackgroundWork


def fail() -> None:
    raise OSError("disk full")


def test_work_is_done_in_order_and_its_failure_comes_out() -> None:
    work, done = BackgroundWork("test"), []
    for number in range(100):
        work.submit(done.append, number)
    work.settle()
    assert done == list(range(100))
    work.submit(fail)
    for number in range(3):
        work.submit(done.append, number)
    with pytest.raises(OSError, match="disk full"):
        work.settle()
    work.close()
    work.close()


def test_a_program_that_ends_does_the_work_at_once() -> None:
    program = (
        "import atexit\n"
        "from acme_io.storage.background import BackgroundWork\n"
        "work = BackgroundWork('test')\n"
        "work.submit(print, 'first')\n"
        "def end():\n"
        "    work.submit(print, 'second')\n"
        "    work.settle()\n"
        "atexit.register(end)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("first\nsecond\n", "")
