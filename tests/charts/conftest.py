"""One small run that all charts are drawn of: two sources, every family of stages, near copies, hostile documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.charts.run import OpenRun
from pipelines.workspace import Workspace

HOSTILE = [
    "<script>alert('page')</script><img src=x onerror=alert(1)> is what this document is made of, and the rest is"
    " a sentence about nothing that goes on for long enough to be one of the documents that are kept by every rule.",
    "A \u202eturned\u202c and \u2066isolated\u2069 text with \u0000 and \u001b[31mcolours\u001b[0m and \u0007bells"
    " which a page has to show and not to obey, whatever else is in the rest of the sentence of this document.",
    "Half of a pair \ud83d stands here, and there is a lone \udc00 too, so that the text is no valid Unicode; the"
    " rest of the sentence is there to make it long enough to be kept by the rules that count the words of it.",
    "</textarea>]]>{{constructor}}${1+1}`'\" and a line that ends in a backslash \\ are the last of what it has to"
    " say, but that there should be words enough for the rules to be content with what they have been given.",
]
LONG = "the same line of words that is said again " * 250_000


def rows() -> list[dict[str, Any]]:
    texts = []
    for number, text in enumerate(list(topics.values())[:60]):
        paragraphs = " ".join(text.split())[:1200]
        texts.append(
            f"{paragraphs} Write to jo.doe{number}@example.org about it.\nshort line\nIt ends here, as it must."
        )
        if number % 4 == 1:
            texts.append(f"{paragraphs} Write to jo.doe{number}@example.org about it.\nIt ends here, as it must, now.")
        if number % 10 == 2:
            texts.append(texts[-1])
        if number % 10 == 3:
            texts.append("Too short a text.")
    return [{"text": text, "id": f"https://site{n % 5}.example/page/{n}"} for n, text in enumerate(texts)]


@pytest.fixture(scope="session")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a workspace with the run. Not to be written to."""
    root = tmp_path_factory.mktemp("charts")
    documents = rows()
    half = len(documents) // 2
    table = pa.table({name: [row[name] for row in documents[:half]] for name in ("text", "id")})
    pq.write_table(table, root / "books.parquet")
    hostile = [{"text": text, "id": f"<b>{n}</b>\u202e"} for n, text in enumerate([*HOSTILE, LONG])]
    lines = [json.dumps(row) for row in (*documents[half:], *hostile)]
    (root / "web.jsonl").write_text("\n".join(lines) + "\n", encoding="ascii")
    recipe = {
        "name": "charted",
        "input": {
            "path": {"books": str(root / "books.parquet"), "web": str(root / "web.jsonl")},
            "columns": {"text": "text", "id": "id"},
        },
        "stages": [
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove",
             "keep": "gopher.words BETWEEN 20 AND 100000 AND gopher.alpha_words_ratio >= 0.5"},
            {"scorer": "rules", "id": "repeats", "profile": "gopher-repetition@datatrove",
             "thresholds": {"max_dup_line_frac": None}, "keep": "repeats.pass"},
            {"transform": "remove-lines", "profile": "c4@datatrove"},
            {"transform": "redact-pii"},
            {"dedup": "exact"},
            {"dedup": "minhash", "verify": 0.8},
            {"select": "top", "by": "gopher.words", "fraction": 0.6},
        ],
        "output": {"columns": ["text", "id"]},
    }  # fmt: skip
    result = Workspace(root / "ws").run(recipe, executor="local", workers=1)
    assert result.outcome == "done", result.failures
    return root / "ws"


@pytest.fixture
def opened(charted: Path) -> Iterator[OpenRun]:
    with OpenRun(Workspace(charted).manifest) as run:
        yield run


@pytest.fixture
def workspace(charted: Path) -> Workspace:
    return Workspace(charted)
