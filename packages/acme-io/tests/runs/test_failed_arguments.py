"""A failed call has no file; its arguments are stored with its failure."""

import json

import acme_io
from acme_io.backend import Failure, RunStore
from acme_io.records.call_record import FAILED
from acme_io.records.serialization import failures_from_json, failures_to_json


def test_container_keeps_arguments_of_failed_calls(tmp_path, tools):
    store = RunStore.create(tmp_path, "f", acme_io.StorageOptions(), tools.new_run(2))
    table = store.table
    table.status[1] = FAILED
    table.failures[1] = Failure("ValueError", "no", "Traceback …", {"x": 1})
    store.finish()
    store.close()
    with acme_io.open_results(tmp_path) as results:
        assert results[1].arguments == results[1].record["arguments"] == {"x": 1}
        assert results.arguments == [{}, {"x": 1}]


def test_files_without_arguments_are_read():
    failure = Failure("ValueError", "no", "Traceback …")
    older = json.dumps({"3": {"type": "ValueError", "message": "no", "traceback": "Traceback …"}})
    assert failures_from_json(older) == failures_from_json(failures_to_json({3: failure}))
    assert failures_from_json(older) == {3: failure}
