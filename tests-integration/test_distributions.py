"""The four installed distributions come from this repository.

On the public package index, the name `acme` belongs to another project, so a requirement on `acme`
would install the wrong package.
"""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "acme": "acme",
    "acme-core": "acme_core",
    "acme-cluster": "acme_cluster",
    "acme-io": "acme_io",
}


def project(distribution: str) -> dict:
    """Return the [project] table of a package in this repository."""
    path = ROOT / "packages" / distribution / "pyproject.toml"
    return tomllib.loads(path.read_text())["project"]


def test_list_of_packages_is_complete():
    assert {path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml")} == set(
        PACKAGES
    )


@pytest.mark.parametrize(("distribution", "package"), PACKAGES.items())
def test_installed_from_this_tree(distribution, package):
    origin = json.loads(metadata.distribution(distribution).read_text("direct_url.json") or "{}")
    assert Path(unquote(urlparse(origin["url"]).path)) == ROOT / "packages" / distribution
    module = importlib.import_module(package)
    assert Path(module.__file__).is_relative_to(ROOT / "packages" / distribution / "src")


@pytest.mark.parametrize("distribution", PACKAGES)
def test_no_package_depends_on_a_distribution_called_acme(distribution):
    tables = project(distribution)
    requirements = [*tables["dependencies"]]
    for extra in tables.get("optional-dependencies", {}).values():
        requirements += extra
    names = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in requirements}
    assert "acme" not in names


def test_no_installed_distribution_depends_on_acme():
    for distribution in metadata.distributions():
        for requirement in distribution.requires or []:
            name = re.match(r"[\w.-]+", requirement)[0].lower()
            assert name != "acme", f"{distribution.name} requires {requirement}"


@pytest.mark.parametrize("distribution", ["acme", "acme-core"])
def test_siblings_are_required_in_compatible_ranges(distribution):
    siblings = [
        requirement
        for requirement in project(distribution)["dependencies"]
        if requirement.startswith("acme")
    ]
    assert siblings
    for requirement in siblings:
        assert re.fullmatch(r"acme-(core|cluster|io)(\[\w+\])?>=\d+(\.\d+)*,<\d+", requirement), (
            requirement
        )
