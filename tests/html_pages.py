"""Reading a page as a browser does, and texts that try to be more than text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<!-- <script> --> </SCRIPT\t>",
    "]]>&lt;/script&gt;",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe\u202c \u2066\u2069 \u2028\u2029 \x00\x1b[31m\x7f\x85",
    "\ud800 alone \udfff",
    "\\u003c/script> \\",
    "${alert(1)} `x`",
    "𝕳 🧑‍🚀 שלום \ufffe \U0010ffff",
]


class Read(HTMLParser):
    """What a browser makes of a page: scripts, styles, and every attribute by which something would be asked for."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles: list[str] = []
        self.policy = ""
        self.title = ""
        self.tags: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.text = ""
        self._open: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.tags.append(tag)
        given = dict(attrs)
        self.asked += [(tag, name) for name in given if name in ("src", "href", "srcset", "data", "action", "poster")]
        self.asked += [(tag, name) for name in given if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append((given, ""))
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            given, text = self.scripts[-1]
            self.scripts[-1] = (given, text + data)
        elif self._open == "style":
            self.styles.append(data)
        elif self._open == "title":
            self.title += data
        else:
            self.text += data

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0][1])
