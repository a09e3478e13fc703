"""The documentation site: `make docs` builds it, and fails for a broken link or reference."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

HERE = Path(__file__).parent
lexers["mermaid"] = TextLexer()  # drawn where the page is read on a forge; its script would be fetched from elsewhere

project = "curation-engine"
author = "The maintainers of curation-engine"
release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]
nitpicky = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # pages may begin below the first level
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
highlight_language = "none"

html_theme = "furo"
html_title = "curation-engine"
html_static_path = ["pictures"]
html_show_sourcelink = False
html_copy_source = False
# Nothing is fetched when a page is read: no font, no script, no picture from elsewhere.
html_theme_options = {"footer_icons": []}
