import json
from pathlib import Path

import numpy as np
import pytest

from acme_io.cli import main


@pytest.fixture
def done(run):
    return run(lambda call: 1 / 0 if call == 2 else np.arange(3) * call, 4)


def test_info(done, capsys) -> None:
    assert main(["info", str(done.output_dir)]) == 0
    text = capsys.readouterr().out
    assert "__main__.f" in text
    assert "done: 3, failed: 1" in text
    assert main(["info", str(done.container), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["calls"] == 4
    assert facts["status"] == {"done": 3, "failed": 1}
    assert facts["shared"] == {"y": 4}


def test_ls(done, capsys) -> None:
    assert main(["ls", str(done.output_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].split() == [
        "2",
        "failed",
        "0.500",
        "s",
        "ZeroDivisionError:",
        "division",
        "by",
        "zero",
    ]
    assert main(["ls", str(done.output_dir), "--status", "done", "--json"]) == 0
    assert [row["call"] for row in json.loads(capsys.readouterr().out)] == [0, 1, 3]


def test_show(done, capsys) -> None:
    assert main(["show", str(done.output_dir), "3"]) == 0
    text = capsys.readouterr().out
    assert "array([0, 3, 6])" in text
    assert "x: 3" in text
    assert main(["show", str(done.output_dir), "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == [0, 3, 6]
    assert main(["show", str(done.output_dir), "2"]) == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().out
    assert main(["show", str(done.output_dir), "9"]) == 2
    assert "no call 9" in capsys.readouterr().err


def test_json_has_no_nan(run, capsys) -> None:
    done = run(lambda call: (float("nan"), np.array([[1.0, np.inf]]), np.float32("nan")), 1)
    assert main(["show", "--json", str(done.output_dir), "0"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail)["value"] == [None, [[1.0, "inf"]], None]


def test_show_loads_pickles_only_when_asked(run, capsys) -> None:
    done = run(lambda call: {1: "a"}, 1)
    assert main(["show", str(done.output_dir), "0"]) == 2
    assert "allow_pickle" in capsys.readouterr().err
    assert main(["show", str(done.output_dir), "0", "--allow-pickle"]) == 0
    assert "{1: 'a'}" in capsys.readouterr().out


def test_verify(done, capsys) -> None:
    assert main(["verify", str(done.output_dir)]) == 0
    assert capsys.readouterr().out == "No problems found: every byte is unchanged.\n"
    path = Path(done.files[1])
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["verify", str(done.output_dir), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["ok"]
    assert facts["problems"][0]["calls"] == [1]
    assert main(["verify", str(done.output_dir)]) == 1
    assert "(call 1)" in capsys.readouterr().out


def test_rebuild(done, capsys) -> None:
    done.container.unlink()
    assert main(["rebuild", str(done.output_dir)]) == 1  # call 2 is missing now
    assert "done: 3" in capsys.readouterr().out
    assert done.container.exists()
    assert main(["rebuild", str(done.output_dir), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["calls"]["missing"] == 1


def test_merge(done, tmp_path: Path, capsys) -> None:
    target = tmp_path / "all.h5"
    assert main(["merge", str(done.output_dir), str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    assert main(["verify", str(target)]) == 0
    assert main(["merge", str(done.output_dir), str(target), "--json"]) == 2
    assert "exists" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]


def test_nothing_to_read(tmp_path: Path, capsys) -> None:
    assert main(["info", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2


@pytest.mark.parametrize("command", ["info", "ls", "show", "verify", "rebuild", "merge", "report"])
def test_every_help_text_has_an_example(command: str, capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"Example: acme-io {command} " in " ".join(capsys.readouterr().out.split())


def test_wrong_usage(capsys) -> None:
    for arguments in ([], ["nonsense"], ["show", "x", "three"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "usage:" in capsys.readouterr().err
