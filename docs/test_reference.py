"""The reference documents every exported name."""

import importlib
import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parent / "reference"


@pytest.mark.parametrize("package", ["acme", "acme_cluster", "acme_core", "acme_io"])
def test_reference_lists_exactly_the_public_names(package):
    page = (REFERENCE / f"{package}.md").read_text()
    # Documented modules are not exported names.
    name = rf"^\.\. auto(?!module)\w+:: {package}\.(\w+)$"
    documented = set(re.findall(name, page, flags=re.MULTILINE))
    if package == "acme":
        documented = set(re.findall(r"`~\w+\.(\w+)`", page))
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert documented == public
