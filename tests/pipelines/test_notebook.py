"""What notebooks and prompts show of results: short, as text, and nothing of a document acts on the page."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from curation import parquet
from curation_engine import Result, Rows, Workspace
from pipelines.notebook import HEAD_ROWS, Documents, html_table

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e a line of its own &amp;"
PLAIN = {"table", "thead", "tbody", "tr", "th", "td", "p", "b", "pre", "details", "summary"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook, as far as it is looked at: what it shows, each time."""
    shown: list[str] = []

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Any:
        shown.append(bundle["text/plain"])
        return SimpleNamespace(update=lambda bundle, raw: shown.append(bundle["text/plain"]))

    top, inner = ModuleType("IPython"), ModuleType("IPython.display")
    top.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    inner.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", top)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return shown


def test_a_run_in_a_notebook_shows_how_far_it_is_and_its_result_is_safe(kernel: list[str], tmp_path: Path) -> None:
    texts = [HOSTILE, HOSTILE, "words that nobody else has, and a full sentence of them"]
    parquet.write(
        pa.table({"text": texts, "<b>n</b>": range(3), "id": [f"<i>{n}" for n in range(3)]}), tmp_path / "a.parquet"
    )
    recipe = {
        "name": "shown",
        "input": {"path": str(tmp_path / "a.parquet"), "columns": {"id": "id"}},
        "stages": [{"dedup": "exact", "id": "same"}],
    }
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe, executor="local", workers=1)
    assert kernel[1] == f"run {result.run}: 3 documents"
    assert kernel[-1].startswith(f"run {result.run}: done, ")
    assert repr(result) == f"Result(shown {result.run}, done: 3 → 2 documents, 1 dropped, 0 errored)"
    assert repr(workspace.result()) == repr(result), "of the run, whoever asks"
    assert ", finished before: 3 → 2 documents" in repr(workspace.run(recipe, executor="local", workers=1))
    shown = [
        result,
        result.dataset,
        result.funnel(),
        result.show(),
        workspace.plan(recipe),
        Rows(result.dataset.to_arrow()),
    ]
    for value in shown:
        page = value._repr_html_()
        assert tags(page) <= PLAIN | {"code"}
        assert not set("\x1b\u202e") & set(page)
        assert len(repr(value)) < 4000
        assert not set("\x1b\u202e") & set(repr(value))
    assert repr(workspace) == f"Workspace({str(tmp_path / 'ws')!r})"
    assert repr(workspace.check(recipe)) == "Loaded(shown of a mapping: same)"
    assert "alert(1)" in result.show()._repr_html_()
    assert Result("x", "y", "failed")._repr_html_().startswith("<p>y: run <b>x</b>")


def test_a_run_that_is_told_of_shows_nothing_of_its_own(kernel: list[str], tmp_path: Path) -> None:
    parquet.write(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    recipe = {"name": "told", "input": {"path": str(tmp_path / "a.parquet")}}
    Workspace(tmp_path / "ws").run(recipe, executor="local", report=lambda event: None)
    assert kernel == []


def test_rows_are_what_arrow_takes_and_long_ones_are_cut() -> None:
    rows = Rows(pa.table({"n": range(300)}))
    assert pa.table(rows).num_rows == len(rows) == len(list(rows)) == 300
    assert rows["n"][-1] == 299
    assert len(repr(rows).splitlines()) < 50
    assert "300 rows" in repr(rows)
    assert html_table(rows.to_arrow()).count("<tr>") == HEAD_ROWS + 1
    assert repr(Documents()) == "no documents"
