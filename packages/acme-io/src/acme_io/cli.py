"""The `acme-io` command: inspect, tabulate, verify, rebuild, merge and report results.

Exit codes: 0 success; 1 a problem with the results (`verify` found damage, `merge` or `rebuild`
left out calls, `show` met a call without a result); 2 wrong usage, or unreadable results.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from acme_io.__about__ import __version__
from acme_io.errors import AcmeIOError
from acme_io.results.results import Results, open_results

__all__ = ["main"]

_PATH_HELP = "a container, an output directory or a payload folder"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `acme-io` command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the command's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except BrokenPipeError:
        # The reader is gone, as in `acme-io ls … | head`. Python flushes stdout once more at exit
        # and would report that failure on stderr.
        sys.stderr.close()
        return 0
    except (AcmeIOError, OSError, IndexError) as error:
        # Programs read JSON from stdout in every case; the text on stderr is for people.
        if getattr(options, "json", False):
            print(json.dumps({"error": str(error), "type": type(error).__name__}))
        print(f"acme-io: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="acme-io",
        description="Inspect, verify, rebuild, merge and report the results of parallel runs.",
        epilog="Exit codes: 0 success, 1 a problem with the results, 2 wrong usage or no results.",
    )
    parser.add_argument("--version", action="version", version=f"acme-io {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _command(commands, "info", _info, "show what was computed, when, by whom", "info my_results")
    ls = _command(commands, "ls", _ls, "list the calls", "ls my_results --status failed")
    ls.add_argument(
        "--status",
        choices=["done", "failed", "missing", "pickled"],
        help="list only calls with this status",
    )
    show = _command(
        commands, "show", _show, "show the record and result of one call", "show my_results 3"
    )
    show.add_argument("call", type=int, help="number of the call, from 0")
    table = _command(
        commands,
        "table",
        _table,
        "write arguments, scalar results, run time (seconds) and peak memory (bytes) as CSV",
        "table my_results -o table.csv",
    )
    table.add_argument(
        "-o", "--output", metavar="FILE", help="the file to write, which must not exist"
    )
    for command in (show, table):
        command.add_argument(
            "--allow-pickle",
            action="store_true",
            help="load pickles, which runs code from them: only for files from people you trust",
        )
    _command(
        commands, "verify", _verify, "compare every byte with its checksum", "verify my_results"
    )
    rebuild = _command(
        commands,
        "rebuild",
        _rebuild,
        "rebuild the container from the payloads",
        "rebuild my_results",
        path_help="an output directory or a payload folder",
    )
    rebuild.add_argument(
        "--name", help="function name, needed if the folder holds results of several functions"
    )
    merge = _command(
        commands,
        "merge",
        _merge,
        "copy all results into one self-contained file",
        "merge my_results all_results.h5",
    )
    merge.add_argument("target", help="the file to write; it must not exist")
    report = _command(
        commands, "report", _report, "write an HTML page about the run", "report my_results"
    )
    report.add_argument(
        "target", nargs="?", help="the page to write, or its folder; default: beside the results"
    )
    return parser


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    example: str,
    path_help: str = _PATH_HELP,
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"Example: acme-io {example}",
    )
    command.add_argument("path", help=path_help)
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
    command.set_defaults(run=run)
    return command


def _print(options: argparse.Namespace, facts: object, text: str) -> None:
    print(json.dumps(_encodable(facts), indent=2) if options.json else text)


def _encodable(value: object) -> object:
    """Return a value with everything that JSON cannot hold converted, at any depth."""
    if isinstance(value, dict):
        return {str(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _encodable(_plain(value))
    # NaN and infinity are not valid JSON, although `json.dumps` writes them.
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _plain(value: object) -> object:
    """Convert a value that `json` cannot encode."""
    # Complex numbers, times and structured values have no form in JSON: their text is used.
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind not in "cmMV" else [str(v) for v in value.flat]
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    return str(value)


def _time(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "unknown"
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _info(options: argparse.Namespace) -> int:
    with open_results(options.path) as results:
        facts = _about(results)
    lines = [f"{key.replace('_', ' '):<12} {_line(value)}" for key, value in facts.items()]
    _print(options, facts, "\n".join(lines))
    return 0


def _about(results: Results) -> dict[str, Any]:
    run = results.run
    # The keys are also those of `--json`, which programs rely on.
    return {
        "function": f"{run.module}.{run.function}",
        "path": str(results.path),
        "run": run.run_id,
        "started": _time(run.started),
        "finished": _time(results.finished),
        "host": run.host,
        "user": run.user,
        "calls": run.n_calls,
        "status": dict(sorted(Counter(results.status).items())),
        "seconds": round(float(np.nansum(results.table.seconds)), 3),
        "seed": run.seed,
        "options": dict(run.options),
        "shared": dict(run.shared),
        "versions": dict(run.versions),
    }


def _line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {entry}" for key, entry in value.items()) or "none"
    return str(value)


def _ls(options: argparse.Namespace) -> int:
    with open_results(options.path) as results:
        table = results.table
        rows: list[dict[str, Any]] = [
            {
                "call": call,
                "status": status,
                "seconds": float(table.seconds[call]),
                "attempts": int(table.attempts[call]),
                "failure": list(results.failures[call][:2]) if call in results.failures else None,
            }
            for call, status in enumerate(results.status)
            if options.status in (None, status)
        ]
    _print(options, rows, "\n".join(_row(row) for row in rows))
    return 0


def _row(row: dict[str, Any]) -> str:
    # A call without a time has not run.
    seconds = f"{row['seconds']:.3f} s" if np.isfinite(row["seconds"]) else ""
    # One line per call, however long the message: `ls` is for `grep` and `head`.
    failure = ": ".join(row["failure"]).splitlines()[0] if row["failure"] else ""
    return f"{row['call']:>8}  {row['status']:<8} {seconds:>12}  {failure}".rstrip()


def _show(options: argparse.Namespace) -> int:
    with open_results(options.path, options.allow_pickle) as results:
        call = results[options.call]
        record = dict(call.record)
        without_result = call.status in ("failed", "missing")
        value = None if without_result else call.values
    failure = record.pop("failure", None)
    facts = {"record": record, "type": type(value).__name__, "value": value}
    lines = [f"{key.replace('_', ' '):<12} {_line(entry)}" for key, entry in record.items()]
    if failure is not None:
        facts["failure"] = failure._asdict()
        lines += [f"failure      {failure.type}: {failure.message}", failure.traceback]
    if not without_result:
        lines += ["", repr(value)]
    _print(options, facts, "\n".join(lines))
    return 1 if without_result else 0


# The tools are imported by their commands: `info` and `ls` need none of the code that writes files.


def _table(options: argparse.Namespace) -> int:
    from acme_io.tools.table import table_rows, to_csv, write_table

    with open_results(options.path, options.allow_pickle) as results:
        if options.output is not None:
            path = write_table(results, options.output)
            _print(options, {"path": str(path)}, f"Wrote {path}.")
        elif options.json:
            _print(options, table_rows(results), "")
        else:
            sys.stdout.write(to_csv(results))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from acme_io.tools.verify import verify

    problems = verify(options.path)
    facts = {"ok": not problems, "problems": [problem._asdict() for problem in problems]}
    lines = [problem.reason + _calls(problem.calls) for problem in problems]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    summary = f"{count} found." if problems else "No problems found: every byte is unchanged."
    _print(options, facts, "\n".join([*lines, summary]))
    return 1 if problems else 0


def _calls(calls: list[int]) -> str:
    if not calls:
        return ""
    # One damaged file may hold thousands of calls; `--json` lists them all.
    listed = ", ".join(str(call) for call in calls[:10])
    noun = "call" if len(calls) == 1 else "calls"
    return f" ({noun} {listed}{' …' if len(calls) > 10 else ''})"


def _rebuild(options: argparse.Namespace) -> int:
    from acme_io.tools.rebuild import rebuild

    made = rebuild(options.path, options.name)
    facts = {
        "container": None if made.container is None else str(made.container),
        "calls": made.counts,
        "damaged": made.damaged,
    }
    lines = [f"Wrote {made.container or 'the record'}: {_line(made.counts)}."]
    lines += [f"Left out: {reason}" for reason in made.damaged.values()]
    _print(options, facts, "\n".join(lines))
    return 1 if made.damaged or made.counts["missing"] else 0


def _merge(options: argparse.Namespace) -> int:
    from acme_io.tools.merge import merge

    made = merge(options.path, options.target)
    facts = {
        "path": str(made.path),
        "pickles": [str(path) for path in made.pickles],
        "skipped": made.skipped,
    }
    lines = [f"Wrote {made.path}."]
    lines += [f"Copied {path}: HDF5 cannot hold this result." for path in made.pickles]
    lines += [f"Left out call {call}: {reason}" for call, reason in made.skipped.items()]
    _print(options, facts, "\n".join(lines))
    return 1 if made.skipped else 0


def _report(options: argparse.Namespace) -> int:
    from acme_io.tools.report import write_report

    page = write_report(options.path, options.target)
    _print(options, {"path": str(page)}, f"Wrote {page}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
