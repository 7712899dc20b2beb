"""The `acme` command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import acme_io.cli
from acme import ParallelMap, cli


def test_doctor_checks_everything(tmp_path, capsys):
    code = cli.main(["doctor", "--folder", str(tmp_path), "--json"])
    findings = json.loads(capsys.readouterr().out)
    topics = {one["topic"] for one in findings}
    assert {"versions", "results", "locking", "SLURM", "folder", "dashboard", "TLS"} <= topics
    assert code == any(one["level"] == "problem" for one in findings)
    assert not os.listdir(tmp_path)


def test_doctor_gives_advice(tmp_path, capsys):
    missing = tmp_path / "not there"
    assert cli.main(["doctor", "--folder", str(missing)]) == 1
    said = capsys.readouterr().out
    assert f"problem  results    Results cannot be written in {missing}" in said
    assert "give an output_dir where you may write" in said


def test_result_commands_are_those_of_acme_io(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pmap = ParallelMap(abs, [-1, 2], output_dir="out", verbose=False)
    with pytest.raises(RuntimeError, match=r"Call compute\(\) first"):
        pmap.report()
    pmap.compute(debug=True)
    page = pmap.report()
    assert page == str(tmp_path / "out" / "abs_report.html")
    assert "abs" in Path(page).read_text(encoding="utf-8")
    assert cli.main(["info", "out"]) == 0
    assert "abs" in capsys.readouterr().out
    assert cli.main(["report", "out", "elsewhere.html"]) == 0
    assert (tmp_path / "elsewhere.html").exists()
    assert cli.main(["verify", "nothing"]) == 2


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("doctor", "info", "verify", "report"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["cure"])
    assert ended.value.code == 2


def commands_in(said):
    return set(re.findall(r"^    ([a-z]+) ", said, re.MULTILINE))


def test_every_command_of_acme_io_is_listed(capsys):
    offered = []
    for main in (acme_io.cli.main, cli.main):
        with pytest.raises(SystemExit):
            main(["--help"])
        offered.append(commands_in(capsys.readouterr().out))
    assert offered[1] == offered[0] | {"doctor"}
    assert len(offered[0]) > 5


def test_help_imports_no_heavy_package():
    program = (
        "import sys; from acme import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'h5py', 'dask', 'distributed'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
