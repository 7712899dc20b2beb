"""Record figures in a contender's script; `contest` reads them when the process has ended.

Imports little, and only from the standard library: scripts run in the environments of other
libraries, and imports here count towards their time.
"""

import json
import os
import time


def figure(name: str, value: float) -> None:
    """Record one figure, such as seconds or megabytes; the last value of a name counts."""
    with open(os.environ["CONTEST_FIGURES"], "a") as file:
        file.write(json.dumps({name: value}) + "\n")


def mark(phase: str) -> None:
    """Record the end of a phase, in seconds since process start."""
    figure(phase, time.time() - float(os.environ["CONTEST_START"]))
