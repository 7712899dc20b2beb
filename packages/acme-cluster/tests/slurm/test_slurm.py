"""Parsing SLURM's output, without SLURM; the integration tests run the real commands."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cluster.errors import CommandError, SlurmUnavailableError
from acme_cluster.slurm import explain, parse, query
from acme_cluster.slurm.parse import Limits

POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
WORDS = st.sampled_from(["UNLIMITED", "INFINITE", "NONE", "N/A", "(null)", ""])


@given(number=st.integers(0, 10**6), unit=st.sampled_from(list(POWERS)))
def test_sizes_count_in_steps_of_1024_and_default_to_megabytes(number: int, unit: str) -> None:
    assert parse.parse_size(f"{number}{unit}") == number * 1024 ** POWERS[unit]
    assert parse.parse_size(f"{number}{unit.lower()}c") == number * 1024 ** POWERS[unit]
    assert parse.parse_size(str(number)) == number * 2**20


@given(WORDS | st.text())
def test_parsers_accept_any_text(text: str) -> None:
    for read_one in (parse.parse_size, parse.parse_time, parse.parse_number):
        result = read_one(text)
        assert result is None or result >= 0
    assert parse.parse_gres(text, "gpu") >= 0
    for read in (
        parse.parse_partitions, parse.parse_qos, parse.parse_jobs, parse.parse_node_groups,
    ):  # fmt: skip
        assert isinstance(read(text), dict)


@given(days=st.integers(0, 400), h=st.integers(0, 23), m=st.integers(0, 59), s=st.integers(0, 59))
def test_all_forms_of_time_limits(days: int, h: int, m: int, s: int) -> None:
    read = parse.parse_time
    assert read(f"{days}-{h:02}:{m:02}:{s:02}") == ((days * 24 + h) * 60 + m) * 60 + s
    assert read(f"{days}-{h}") == (days * 24 + h) * 3600
    assert read(f"{days}-{h:02}:{m:02}") == (days * 24 + h) * 3600 + m * 60
    assert read(f"{h:02}:{m:02}:{s:02}") == h * 3600 + m * 60 + s
    assert read(f"{m}:{s:02}") == m * 60 + s
    assert read(f"{m}") == m * 60
    assert read("UNLIMITED") is None


@st.composite
def partition_lines(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    memory = draw(st.none() | st.integers(1, 10**6))
    longest = draw(st.none() | st.integers(0, 10**4))
    expected = {
        "name": draw(st.text("ABCXYZ0123456789_-.", min_size=1, max_size=12)),
        "default": draw(st.booleans()),
        "up": draw(st.booleans()),
        "hidden": draw(st.booleans()),
        "memory_per_cpu": None if memory is None else memory * 2**20,
        "max_time": None if longest is None else longest * 60,
        "qos": draw(st.none() | st.sampled_from(["8gbxs", "normal"])),
    }
    fields = [
        f"Default={'YES' if expected['default'] else 'NO'}",
        f"State={'UP' if expected['up'] else draw(st.sampled_from(['DOWN', 'INACTIVE', 'DRAIN']))}",
        f"Hidden={'YES' if expected['hidden'] else 'NO'}",
        f"MaxTime={'UNLIMITED' if longest is None else longest}",
        f"QoS={expected['qos'] or 'N/A'}",
        draw(st.sampled_from(["", "Something=new", "TRES=cpu=32,mem=250G,node=4"])),
    ]
    if memory is None:
        fields.append(draw(st.sampled_from(["", "DefMemPerNode=UNLIMITED"])))
    else:
        fields.append(f"DefMemPerCPU={memory}")
    line = " ".join(field for field in draw(st.permutations(fields)) if field)
    return f"PartitionName={expected['name']} {line}", expected


@given(st.lists(partition_lines(), unique_by=lambda item: item[1]["name"]))
def test_partitions_in_any_order_of_fields(items: list[tuple[str, dict[str, object]]]) -> None:
    found = parse.parse_partitions("\n".join(line for line, _ in items))
    assert list(found) == [expected["name"] for _, expected in items]
    for partition, (_, expected) in zip(found.values(), items, strict=True):
        assert {name: getattr(partition, name) for name in expected} == expected


def test_access_depends_on_accounts() -> None:
    text = (
        "PartitionName=a AllowAccounts=ALL\n"
        "PartitionName=b AllowAccounts=Physics,chem\n"
        "PartitionName=c DenyAccounts=bio\n"
        "PartitionName=d\n"
    )
    found = parse.parse_partitions(text)
    assert [n for n, p in found.items() if p.open_to({"bio"})] == ["a", "d"]
    assert [n for n, p in found.items() if p.open_to({"physics"})] == ["a", "b", "c", "d"]
    assert all(partition.open_to(set()) for partition in found.values())


@pytest.mark.parametrize(
    ("tres", "limits"),
    [
        ("mem=8G", Limits(8 * 2**30)),
        ("cpu=8,mem=64G", Limits(64 * 2**30, 8)),
        ("mem=1T,node=2,cpu=16", Limits(2**40, 16)),
        ("gres/gpu=2,mem=1500M", Limits(1500 * 2**20, gpus=2)),
        ("mem=2.50T", Limits(5 * 2**39)),
        ("", Limits()),
    ],
)
def test_limits_of_a_qos_in_any_order_and_unit(tres: str, limits: Limits) -> None:
    text = f"Priority|MaxTRES|Name|MaxJobsPU\n0|{tres}|Short|\n1||other|5\n"
    found = parse.parse_qos(text)
    assert found["short"] == limits
    assert found["other"] == Limits(jobs=5)


@given(
    counts=st.lists(
        st.tuples(st.sampled_from(["gpu", "shard"]), st.sampled_from(["", "a100", "t4"]),
                  st.integers(0, 8), st.sampled_from(["", "(S:0)", "(S:0-1,3)", "(IDX:0,2)"])),
    ),
    wanted=st.sampled_from(["gpu", "gpu:a100", "shard", "shard:t4"]),
)  # fmt: skip
def test_generic_resources_are_counted_by_name_and_type(
    counts: list[tuple[str, str, int, str]], wanted: str
) -> None:
    entries = [":".join(filter(None, (n, k, str(c)))) + where for n, k, c, where in counts]
    name, _, kind = wanted.partition(":")
    expected = sum(c for n, k, c, _ in counts if n == name and kind in ("", k))
    assert parse.parse_gres(",".join(entries), wanted) == expected


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(null)", 0),
        ("", 0),
        ("gpu", 1),
        ("gpu:a100", 1),
        ("gpu:(null):2(S:0-1)", 2),
        ("gpus:3", 0),
    ],
)
def test_unusual_forms_of_generic_resources(text: str, count: int) -> None:
    assert parse.parse_gres(text, "gpu") == count


def test_nodes_of_partitions_with_their_resources() -> None:
    text = "short|2|gpu:2(S:0-1)\nshort|30|(null)\nlong|1|gpu:t4:1\nsinfo: error\n"
    assert parse.parse_node_groups(text) == {
        "short": [parse.NodeGroup(2, "gpu:2(S:0-1)"), parse.NodeGroup(30, "(null)")],
        "long": [parse.NodeGroup(1, "gpu:t4:1")],
    }


def test_lines_that_are_not_jobs_are_skipped() -> None:
    text = "12|PENDING|Resources\n13|RUNNING|None\n\nslurm_load_jobs error\n"
    found = parse.parse_jobs(text)
    assert found == {
        "12": parse.JobState("PENDING", "Resources"),
        "13": parse.JobState("RUNNING", "None"),
    }


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("QOSMaxMemoryPerJob", "QOSMaxMemoryPerJob: a job may have at most 8 GB here"),
        ("QOSMaxCpuPerJobLimit", "QOSMaxCpuPerJobLimit: a job may have at most 4 cores here"),
        ("Priority", "Priority: other jobs come first"),
        ("(ReqNodeNotAvail, UnavailableNodes:n1)", "ReqNodeNotAvail: a node that it needs"),
        ("SomethingQuiteNew", "SomethingQuiteNew: something quite new"),
    ],
)
def test_reasons_are_explained(reason: str, text: str) -> None:
    assert explain.explain(reason, Limits(8 * 2**30, 4)).startswith(text)


def test_variables_of_a_surrounding_job_are_removed() -> None:
    environ = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/x.conf",
        "SLURM_JOB_ID": "5",
        "SLURM_MEM_PER_CPU": "100",
        "SBATCH_PARTITION": "p",
        "SALLOC_ACCOUNT": "a",
    }
    kept = query.clean_environment(environ)
    assert kept == {"PATH": "/bin", "SLURM_CONF": "/etc/x.conf"}


def test_failures_carry_command_exit_code_and_output() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    with pytest.raises(CommandError) as info:
        query.run(sys.executable, "-c", code, advice="Do this.")
    assert (info.value.exit_code, info.value.output) == (3, "out\nerr")
    for part in (sys.executable, "exit code 3", "out", "err", "Do this."):
        assert part in str(info.value)
    with pytest.raises(OSError, match="did not answer"):
        query.run(sys.executable, "-c", "import time; time.sleep(60)", timeout=0.2)


def test_without_slurm_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert not query.available()
    assert not query.usable()
    with pytest.raises(SlurmUnavailableError, match="local_cluster_setup"):
        query.partitions()
    assert query.qos_limits() == {}
    assert query.my_accounts() == frozenset()
    assert query.job_states([]) == {}
