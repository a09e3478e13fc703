"""One HTML file that holds everything: our script, our styles, and data that a browser reads as data.

Nothing in it reaches the network, and its Content-Security-Policy lets no other script run than ours: documents are
JSON in an element that is not executed, and the script puts them on the page as text nodes only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any

POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"
_LINES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Characters that JSON has in its strings only, and that could end the element or a line of it."""


class Page:
    """Data of `schemas.charts` as a page: `Path.write_bytes(page.html)`, or the last value of a notebook's cell.

    `data` is a whole report or one piece of it, `title` names the page, `plain` is HTML that stands there for readers
    whose browser runs no script.
    """

    def __init__(self, data: Mapping[str, Any], title: str, plain: str = "") -> None:
        self.data = data
        self.title = title
        self._plain = plain

    @property
    def html(self) -> bytes:
        script, style = asset("report.js"), asset("report.css")
        policy = POLICY.format(script=_source(script), style=_source(style))
        head = (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(self.title)}</title>\n<style>"
        )
        body = (
            f'</style>\n</head>\n<body>\n<div id="page">{self._plain}</div>\n<script id="data" type="application/json">'
        )
        text = head + style + body + _json(self.data) + f"</script>\n<script>{script}</script>\n</body>\n</html>\n"
        return text.encode("utf-8", "backslashreplace")  # lone surrogates are left in JSON alone, and are escapes there

    def _repr_html_(self) -> str:
        """In a frame of its own, so that the notebook's styles and ours do not meet."""
        document = escape(self.html.decode(), quote=True)
        frame = "width:100%;height:80vh;border:0;border-radius:6px"
        title = escape(self.title)
        return f'<iframe title="{title}" sandbox="allow-scripts" style="{frame}" srcdoc="{document}"></iframe>'


@lru_cache(maxsize=8)
def asset(name: str) -> str:
    """A file that `make pages` has built."""
    return files("pipelines.pages").joinpath("assets", name).read_text(encoding="utf-8").rstrip("\n")


def _source(text: str) -> str:
    """How a Content-Security-Policy names an element by its content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_LINES)
