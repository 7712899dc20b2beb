from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import dask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_cluster import choose_partition, detect_site, load_sites
from acme_cluster.sites.catalog import MARGIN, Site, read_site, site_named

GB = 2**30


def site(sizes: dict[str, int]) -> Site:
    partitions = {name: {"memory": f"{size}GB"} for name, size in sizes.items()}
    return read_site("s", {"partitions": partitions, "auto_partitions": list(sizes)})


def test_the_shipped_site_is_valid_and_not_detected_elsewhere() -> None:
    esi = load_sites()["esi"]
    assert esi.system == "slurm"
    assert esi.rule("8GBXS").memory == 8 * GB
    assert esi.rule("E880").architecture == "ppc64le"
    assert esi.path("/cs/slurm/{user}").startswith("/cs/slurm/")  # type: ignore[union-attr]
    assert detect_site() is None


@given(
    sizes=st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 500), min_size=1),
    peak=st.integers(1, 700 * GB),
)
def test_the_smallest_sufficient_partition_is_chosen(sizes: dict[str, int], peak: int) -> None:
    enough = [size for size in sizes.values() if size * GB >= MARGIN * peak]
    if enough:
        chosen = choose_partition(site(sizes), peak)
        assert chosen is not None
        assert sizes[chosen] == min(enough)
    else:
        with pytest.raises(ValueError, match="has only"):
            choose_partition(site(sizes), peak)


def test_no_choice_without_a_list_or_for_another_architecture() -> None:
    assert choose_partition(Site("s"), GB) is None
    esi = site_named("esi")
    assert choose_partition(esi, 7 * GB, "x86_64") == "16GBXS"
    assert choose_partition(esi, 7 * GB, "ppc64le") == "E880"
    assert choose_partition(esi, 7 * GB, "riscv64") is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"hostname": ["x"]}, "unknown key 'hostname'. Did you mean 'hostnames'"),
        ({"hostnames": "login*"}, "key 'hostnames' must be a list"),
        ({"system": "cron"}, "key 'system' must be one of slurm"),
        ({"walltime": 43200}, "key 'walltime' must be text in quotes"),
        ({"gpu_gres": "gpu:2"}, "key 'gpu_gres' must be the name"),
        ({"gpu_gres": "gpu,shard"}, "key 'gpu_gres' must be the name"),
        ({"gpu_gres": 1}, "key 'gpu_gres' must be the name"),
        ({"max_workers": 0}, "key 'max_workers'"),
        ({"max_workers": "many"}, "key 'max_workers'"),
        ({"mem_per_worker": "much"}, "key 'mem_per_worker'"),
        ({"worker_ports": "1-5"}, "key 'worker_ports'"),
        ({"partitions": ["a"]}, "key 'partitions'"),
        ({"partitions": {"a": {"memry": "1GB"}}}, "partition 'a': unknown key 'memry'"),
        ({"partitions": {"a": 8}}, "partition 'a' must be a mapping"),
        ({"auto_partitions": ["a"]}, "'a' has no memory"),
        ("text", "must be a mapping"),
    ],
)
def test_errors_in_descriptions_name_the_key(data: Any, text: str) -> None:
    with pytest.raises(ValueError, match="site 'mine'") as info:
        read_site("mine", data)
    assert text in str(info.value)


def test_configured_sites_come_first_and_override_shipped_ones(tmp_path: Path) -> None:
    mine = {"paths": [str(tmp_path)], "log-directory": "/logs", "max-workers": 7}
    with dask.config.set({"acme.sites": {"mine": mine, "esi": {"account": "lab"}}}):
        assert next(iter(load_sites())) == "mine"
        found = detect_site()
        assert found is not None
        assert (found.name, found.log_directory, found.max_workers) == ("mine", "/logs", 7)
        esi = site_named("esi")
        assert (esi.account, esi.rule("8GBXS").memory) == ("lab", 8 * GB)
        with pytest.raises(ValueError, match="known sites: mine, esi"):
            site_named("yours")


def test_a_site_is_detected_by_host_name_and_paths_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "login3.example")
    here = read_site("s", {"hostnames": ["login*"], "paths": [str(tmp_path)]})
    assert here.here()
    assert not read_site("s", {"hostnames": ["node*"], "paths": [str(tmp_path)]}).here()
    assert not read_site("s", {"hostnames": ["login*"], "paths": ["/no/such"]}).here()
    assert not read_site("s", {}).here()


def test_an_architecture_is_kept_as_written() -> None:
    rule = read_site("s", {"partitions": {"p": {"architecture": platform.machine()}}}).rule("p")
    assert rule.architecture == platform.machine()
