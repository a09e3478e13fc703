"""Charts as a prompt and a notebook show them: drawn without a script, and nothing of a document acts."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from pipelines.charts.picture import Chart
from pipelines.workspace import Workspace

TAGS = {"svg", "rect", "title", "line", "text", "circle", "p", "pre", "table", "thead", "tbody", "tr", "th", "td"}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def drawn(workspace: Workspace) -> dict[str, Chart]:
    return {
        "histogram": workspace.histogram("gopher.words"),
        "scatter": workspace.scatter("gopher.words", "gopher.alpha_words_ratio"),
        "clusters": workspace.clusters("minhash"),
        "selection": workspace.selection_map("top"),
        "shift": workspace.result().shift(),
    }


def test_a_notebook_draws_every_chart_without_a_script(workspace: Workspace) -> None:
    for kind, chart in drawn(workspace).items():
        html = chart._repr_html_()
        tags = Tags(html)
        assert chart["kind"] == kind
        assert tags.tags <= TAGS
        assert not {name for name in tags.attributes if name.startswith("on") or name in ("href", "src")}
        assert chart["note"] is None or len(repr(chart)) > 0
    svg = workspace.histogram("gopher.words")._repr_html_()
    bars = [item for item in ElementTree.fromstring(svg).iter() if item.tag.endswith("rect")]
    assert len(bars) > 5
    assert "&gt;= 20" in svg


def test_a_prompt_draws_a_histogram_in_a_line(workspace: Workspace) -> None:
    lines = repr(workspace.result().histogram("gopher.words")).split("\n")
    assert lines[0].startswith("gopher.words, ")
    assert ">= 20" in lines[0]
    assert [line.split(" ")[0] for line in lines[1:]] == ["before", "kept"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\u202eback", "a\u001b[31m"])
def test_names_from_data_are_text(workspace: Workspace, name: str) -> None:
    data = {**workspace.histogram("gopher.words").data, "name": name, "note": name}
    html = Chart(data)._repr_html_()
    assert Tags(html).tags <= TAGS
    assert name not in html
    assert "\u202e" not in html + repr(Chart(data))
    assert "\u001b" not in html + repr(Chart(data))
