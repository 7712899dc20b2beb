"""`acme-io table`: the table of a run as CSV."""

import csv
import io
import json

import numpy as np
import pytest

from acme_io import StorageOptions
from acme_io.cli import main


@pytest.fixture
def done(run):
    def func(call: int) -> object:
        if call == 1:
            raise ZeroDivisionError
        return {"mean": call / 4, "note": f'a "{call}",\nb', "day": np.datetime64("2026-01-02T03")}

    return run(func, 3)


def test_the_table_is_csv(done, capsys) -> None:
    assert main(["table", str(done.output_dir), "--allow-pickle"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == [
        "call",
        "x",
        "mean",
        "note",
        "day",
        "status",
        "seconds",
        "peak_memory",
        "worker",
    ]
    assert rows[1][:5] == ["0", "0", "0.0", 'a "0",\nb', "2026-01-02T03"]
    assert rows[2] == ["1", "", "", "", "", "failed", "0.5", "", "worker-1"]
    assert rows[3][2] == "0.5"


def test_the_table_is_written_to_a_new_file(done, tmp_path, capsys) -> None:
    target = tmp_path / "table.csv"
    given = ["table", str(done.output_dir), "--allow-pickle", "-o", str(target)]
    assert main(given) == 0
    assert capsys.readouterr().out == f"Wrote {target}.\n"
    content = target.read_bytes()
    assert content.startswith(b"call,x,mean,note,")
    assert b"\r" not in content
    assert main(given) == 2
    assert "already exists and is not overwritten" in capsys.readouterr().err
    assert target.read_bytes() == content


def test_the_table_is_json_for_programs(run, capsys) -> None:
    done = run(lambda call: (float("nan"), np.uint8(call)), 2)
    assert main(["table", str(done.output_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {
        "call": 1,
        "x": 1,
        "result_0": None,
        "result_1": 1,
        "status": "done",
        "seconds": 0.5,
        "peak_memory": None,
        "worker": "worker-1",
    }


def test_pickles_need_permission(run, capsys) -> None:
    done = run(float, 2, StorageOptions(pickle=True))
    assert main(["table", str(done.output_dir)]) == 2
    assert "--allow-pickle" in capsys.readouterr().err


def test_a_column_of_an_argument_named_call(tmp_path, tools, capsys) -> None:
    from acme_io.backend import RunStore

    store = RunStore.create(tmp_path, "f", StorageOptions(), tools.new_run(1))
    writer = store.sink.open(range(1))
    writer.put(tools.report(0, call="first"), 1.5)
    receipt = writer.close()
    store.accept(receipt)
    tools.finish(store, [receipt])
    store.close()
    assert main(["table", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("call.call,call,result_0,status,")
