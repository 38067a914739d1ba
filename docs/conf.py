"""How `make docs` builds these pages: Sphinx, MyST for Markdown, Furo for the looks."""

import importlib.metadata
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # configs/ is not installed

project = "vnet_jax"
author = "the vnet_jax authors"
version = release = importlib.metadata.version("vnet-jax")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
add_module_names = False
root_doc = "index"

html_theme = "furo"
html_title = "vnet_jax"
html_show_copyright = False
html_show_sphinx = False

myst_heading_anchors = 4  # as GitHub makes them, so that links work in both
myst_enable_extensions = ["colon_fence"]
highlight_language = "none"  # blocks are commands; those in Python say so

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "exclude-members": "__init__, dtype"}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
default_role = "code"  # docstrings write `names` as Markdown does


def _as_text(app, what, name, obj, options, lines):
    """Docstrings are text: * and | are no markup, and what is set in is literal."""
    found = []
    for i, line in enumerate(lines):
        before, after = lines[max(i - 1, 0)], lines[min(i + 1, len(lines) - 1)]
        found.append(line.replace("*", r"\*").replace("|", r"\|"))
        if not line and after.startswith("    ") and not before.startswith(" "):
            found += ["::", ""]
    lines[:] = found


def setup(app):
    """Sphinx calls this."""
    # Before napoleon, which writes markup of its own.
    app.connect("autodoc-process-docstring", _as_text, priority=400)
