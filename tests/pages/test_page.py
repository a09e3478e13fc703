"""One HTML file: a browser runs our script alone, reads documents as data, and asks for nothing."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipelines.pages.page import Page, asset

SOURCE = Path(__file__).parents[2] / "pipelines" / "pages" / "source"
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


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_text_leaves_neither_its_element_nor_the_title(text: str) -> None:
    read = Read(Page({"kind": "document", "text": text, text: 1}, text).html.decode())
    assert [given for given, _ in read.scripts] == [{"id": "data", "type": "application/json"}, {}]
    assert read.data == {"kind": "document", "text": text, text: 1}
    assert read.scripts[1][1] == asset("report.js")
    assert " ".join(read.tags) == "html head meta meta meta meta title style body div script script"
    assert read.title == text.encode("utf-8", "backslashreplace").decode()


def test_only_our_script_and_styles_are_let_in_and_nothing_is_asked_for() -> None:
    read = Read(Page({"kind": "report"}, "a").html.decode())
    assert read.asked == []
    [style] = read.styles
    assert read.policy.split("; ") == [
        "default-src 'none'",
        f"script-src {source(read.scripts[1][1])}",
        f"style-src {source(style)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not re.search(r"@import|url\(", style)


def test_no_source_makes_markup_of_a_text_and_the_report_asks_no_server() -> None:
    makes_markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc"
    for path in (*SOURCE.rglob("*.jsx"), *SOURCE.rglob("*.js")):
        assert not re.search(makes_markup, path.read_text(encoding="utf-8")), path.name
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon", asset("report.js"))


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = Page({"kind": "histogram", "maximum": float("nan")}, "a").html


def test_a_notebook_gets_a_frame_that_shares_nothing_with_it() -> None:
    class Frame(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found = (tag, dict(attrs))

    frame = Frame()
    page = Page({"kind": "funnel", "text": HOSTILE[0]}, '"><script>')
    frame.feed(page._repr_html_())
    tag, given = frame.found
    assert (tag, given["sandbox"]) == ("iframe", "allow-scripts")
    assert given["srcdoc"] == page.html.decode()
