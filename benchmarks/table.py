"""The rows that `bench` measures, with their contenders and limits.

Each workload is a function in `contenders/race.py`; the last row, timed from process start, uses
the scripts in `startup`. All rows use two workers, which run before the clock starts except in the
last row.
"""

from __future__ import annotations

from dataclasses import replace

from rows import (
    EVERYBODY,
    Entry,
    Limit,
    Row,
    against_h5py,
    entries,
    fewer,
    fewer_rounds,
    memory,
    memory_over_results,
    milliseconds_over,
    of_each,
    over_ideal,
    ratio,
    slowest_form,
    slowest_form_over,
)

ROWS = (
    Row(
        name="trivial-10k",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=10_000,
        rounds=5,
        entries=(
            *entries("acme", "joblib", "futures", "mpire"),
            Entry("Client.map", rounds=1),
            Entry("esi-acme", rounds=1),
        ),
        limits=(
            Limit("times faster than esi-acme", ratio("esi-acme", "acme"), None, 200, 0),
            Limit("time / joblib", ratio("acme", "joblib"), 2.0),
        ),
        quick=fewer(2, slow={"Client.map": 500, "esi-acme": 500}),
    ),
    Row(
        name="trivial-100k",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=100_000,
        rounds=5,
        entries=entries("acme", "joblib", "futures", "mpire"),
        limits=(Limit("time / joblib", ratio("acme", "joblib"), 1.0),),
        quick=fewer(1),
    ),
    Row(
        name="trivial-1m",
        title="trivial function, {calls} calls",
        work="trivial",
        calls=1_000_000,
        rounds=5,
        entries=entries("acme", "joblib", "futures", "mpire"),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 0.5),
            Limit(
                "client memory beyond the results, MB", of_each(memory_over_results), 100, None, 0
            ),
        ),
        quick=lambda row: replace(row, rounds=1, entries=entries("acme", "joblib")),
    ),
    Row(
        name="guide-1m",
        title="`f(list, 4)` of the user guide, {calls} calls",
        work="guide",
        calls=1_000_000,
        rounds=5,
        entries=entries("acme", "joblib"),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 0.4),
            Limit(
                "client's memory above its results, MB", of_each(memory_over_results), 100, None, 0
            ),
        ),
        quick=fewer(1),
    ),
    Row(
        name="forms",
        title="{calls} trivial calls of each form",
        work="forms",
        calls=1_000_000,
        rounds=3,
        entries=entries("acme", "joblib"),
        limits=(
            Limit("microseconds a call, the slowest form", slowest_form, 1.6),
            Limit("time / joblib, the worst form", slowest_form_over("joblib"), 0.5),
        ),
        quick=lambda row: replace(row, rounds=1, calls=200_000),
    ),
    Row(
        name="sleeping",
        title="{calls} calls that sleep 20 ms",
        work="sleeping",
        calls=1000,
        rounds=3,
        entries=fewer_rounds(1),
        limits=(Limit("time / (total work / workers)", of_each(over_ideal), 1.05),),
        quick=lambda row: replace(row, rounds=1, calls=200, entries=entries("acme", "joblib")),
        terminal=True,
    ),
    Row(
        name="uneven",
        title="{calls} calls of 20 ms, one in a hundred takes 2 s",
        work="uneven",
        calls=200,
        rounds=7,
        entries=fewer_rounds(3),
        limits=(Limit("time / greedy list scheduling", of_each(over_ideal), 1.10),),
        quick=lambda row: replace(row, rounds=2, entries=entries("acme")),
    ),
    Row(
        name="shared",
        title="{calls} calls that share one array of 200 MB",
        work="shared",
        calls=64,
        rounds=5,
        entries=entries("acme", "joblib", "mpire", "Client.map", "esi-acme", esi_acme=2),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 1.3),
            memory("client memory beyond the array", "client_mb", 60),
            memory("PSS of both workers due to the array", "workers_mb", 220),
        ),
        quick=lambda row: replace(
            row, rounds=1, calls=32, entries=entries("acme", "joblib", "esi-acme")
        ),
    ),
    Row(
        name="distinct",
        title="{calls} arrays of 10 MB, one per call",
        work="distinct",
        calls=64,
        rounds=5,
        entries=entries(*EVERYBODY, esi_acme=2),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 1.5),
            memory("client memory beyond the arrays", "client_mb", 100),
        ),
        quick=fewer(1),
    ),
    Row(
        name="distinct-on-disk",
        title="{calls} arrays of 10 MB, `/dev/shm` too small",
        work="distinct",
        calls=64,
        rounds=5,
        entries=entries("acme", "joblib"),
        limits=(
            Limit("time / joblib", ratio("acme", "joblib"), 2.0),
            memory("client memory beyond the arrays", "client_mb", 100),
        ),
        quick=fewer(1),
        without_shared_memory=True,
    ),
    Row(
        name="second",
        title="repeated run of {calls} calls on the same workers",
        work="second",
        calls=4,
        rounds=5,
        entries=entries("acme", "acme-on-disk", *EVERYBODY[1:], esi_acme=2),
        limits=(
            Limit(
                "milliseconds more than `Client.map`",
                milliseconds_over("acme", "Client.map"),
                20,
                None,
                0,
            ),
        ),
        quick=lambda row: replace(row, rounds=1),
    ),
    against_h5py(
        "{calls} numbers, one file per call",
        "floats",
        "acme-on-disk",
        "h5py",
        1.25,
        name="files-10k",
        calls=10_000,
        rounds=5,
        quick_calls=2000,
    ),
    against_h5py(
        "{calls} arrays of 80 kB, one file per call",
        "arrays",
        "acme-on-disk",
        "h5py",
        1.2,
        name="files-80kB",
        calls=4000,
        rounds=5,
        quick_calls=1000,
    ),
    against_h5py(
        "{calls} numbers in one file",
        "floats",
        "acme-single-file",
        "h5py-one-file",
        1.0,
        name="single-10k",
        calls=10_000,
        rounds=5,
    ),
    against_h5py(
        "{calls} arrays of 80 kB in one file",
        "arrays",
        "acme-single-file",
        "h5py-one-file",
        1.5,
        name="single-80kB",
        calls=1000,
        rounds=7,
    ),
    Row(
        name="start",
        title="process start to first result, {calls} calls on disk",
        work="startup",
        calls=4,
        rounds=9,
        entries=(),
        limits=(
            Limit("time / esi-acme", ratio("acme", "esi-acme", "results"), 0.6),
            Limit(
                "without TLS: time / esi-acme",
                ratio("acme without TLS", "esi-acme", "results"),
                0.5,
            ),
            Limit("time / plain dask", ratio("acme", "plain dask", "results"), 1.0),
        ),
        quick=lambda row: replace(row, rounds=2),
    ),
)
