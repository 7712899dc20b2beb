"""The `acme` command: the command lines of the packages under one name.

Exit codes: 0 if all is well, 1 if a problem was found, 2 for wrong usage or if nothing can be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from acme.__about__ import __version__

__all__ = ["main"]

# Commands of acme-io and their line of help, repeated here: `acme --help` would wait for NumPy and
# h5py if it used acme-io's parser. A test compares the names.
_RESULTS = {
    "info": "show the function, time and user of a run",
    "ls": "list the calls of a run",
    "show": "show one call",
    "table": "write arguments, scalar results, times and memory as CSV",
    "verify": "compare every byte with its checksum",
    "rebuild": "make the container of a run from its payloads",
    "merge": "copy all results into one file",
    "report": "write an HTML page about a run",
}


class Finding(Protocol):
    """One finding of `acme doctor`: the fields that both packages' findings have.

    acme-cluster and acme-io do not import each other, and each defines its own class. mypy compares
    both with this protocol in `_doctor`.
    """

    @property
    def level(self) -> str:
        """Severity: "ok", "note" or "problem"."""

    @property
    def topic(self) -> str:
        """Subject of the check."""

    @property
    def text(self) -> str:
        """Result of the check."""

    @property
    def advice(self) -> str:
        """What to do about it; empty if there is nothing to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `acme` command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the command's name; by default those of this process.

    Returns
    -------
    int
        The exit code.
    """
    # Passed on before parsing: argparse would refuse the options of acme-io's commands.
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _RESULTS:
        from acme_io.backend import main as acme_io

        return acme_io(given)
    options = _parser().parse_args(given)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="acme",
        description="Check this machine, and inspect the results of runs.",
        epilog="Exit codes: 0 all is well, 1 a problem was found, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"acme {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="check this machine, with advice on each finding",
        description="Check this machine, with advice on each finding.",
        epilog="Example: acme doctor --folder /data/me/project",
    )
    doctor.add_argument(
        "--folder", default=".", help="the folder for results (default: the current folder)"
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(run=_doctor)
    for name, text in _RESULTS.items():
        # For `--help` only: `main` passes these commands on.
        commands.add_parser(name, help=text)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from acme_cluster.backend import examine as examine_cluster
    from acme_io.backend import examine as examine_folder

    findings: list[Finding] = [*examine_folder(options.folder), *examine_cluster()]
    if options.json:
        keys = ("level", "topic", "text", "advice")
        print(json.dumps([{key: getattr(one, key) for key in keys} for one in findings], indent=2))
    else:
        for one in findings:
            print(f"{one.level:8} {one.topic:10} {one.text}")
            if one.advice:
                print(f"{'':20}{one.advice}")
    # A finding of level "note" is no failure.
    return int(any(one.level == "problem" for one in findings))
