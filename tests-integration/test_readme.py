"""CI runs the commands in the README, and its links and warnings are present."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def command(name: str) -> str:
    """Return the line below the marker of a command."""
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.*)\n```", README)
    assert found, f"README.md has no one-line command {name!r}"
    return found[1]


@pytest.mark.parametrize(("name", "script"), [("demo", "demo"), ("tests", "all")])
def test_commands_need_only_python_with_venv(name, script):
    prepare, install, run = command(name).split(" && ")
    assert prepare == "python3 -m venv .venv"
    assert install == ".venv/bin/python -m pip install --quiet hatch"
    assert run == f".venv/bin/hatch run {script}"


def test_ci_runs_the_command_of_the_readme():
    script = (ROOT / ".ci/run").read_text()
    assert "README.md" in script
    assert "hatch" not in script


def test_linked_paths_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_warns_about_the_name_on_the_package_index():
    assert "Do not `pip install acme`" in README


def test_slurm_packages_match_the_install_script():
    packages = "slurm-wlm slurmdbd munge mariadb-server"
    script = (ROOT / "tests-integration/slurm/install.sh").read_text()
    install = "apt-get install -y -qq --no-install-recommends"
    assert f"{install} {packages}" in README
    assert f"{install} {packages}" in script
    everything = re.search(r"^all = (.*)$", (ROOT / "hatch.toml").read_text(), re.MULTILINE)
    assert everything is not None
    assert '"slurm"' in everything[1]
