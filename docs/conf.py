"""Sphinx configuration. The documentation is built with `hatch run docs:build`."""

import acme

project = "ACME"
author = "ACME developers"
copyright = f"2026, {author}"
version = release = acme.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings state types with shapes and units; signatures show only names and defaults.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False  # numpydoc loads autosummary; these pages do not use it
numpydoc_show_class_members = False

nitpicky = True

html_theme = "furo"
html_title = f"ACME {release}"
html_static_path = ["_static"]
html_css_files = ["acme.css"]
