"""Which files belong to libraries."""

import json

import numpy as np
import pytest

from acme_core.worker.libraries import is_library


@pytest.mark.parametrize("file", [json.__file__, np.__file__])
def test_standard_library_and_installed_packages(file):
    assert is_library(file)


@pytest.mark.parametrize("folder", ["lib/python3.11/site-packages", "python3/dist-packages"])
def test_packages_of_other_environments(tmp_path, folder):
    assert is_library(str(tmp_path / folder / "pandas" / "core.py"))


def test_script_is_no_library(tmp_path):
    assert not is_library(str(tmp_path / "analysis.py"))


def test_links_are_followed(tmp_path):
    installed, checkout = tmp_path / "site-packages", tmp_path / "checkout"
    installed.mkdir()
    checkout.symlink_to(installed)
    assert is_library(str(checkout / "module.py"))
