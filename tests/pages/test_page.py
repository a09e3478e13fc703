"""One HTML file: a browser runs our script alone, reads documents as data, and asks for nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from html_pages import HOSTILE, Read
from pipelines.pages.page import Page, asset

SOURCE = Path(__file__).parents[2] / "pipelines" / "pages" / "source"


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
