"""What the page is told is what SQL says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipelines.workspace import Workspace
from ui_server import HOSTILE, ROWS, serving


@pytest.fixture(scope="module")
def workspace(numbers: Path) -> Workspace:
    return Workspace(numbers)


def one(workspace: Workspace, query: str, run: str | None = None) -> Any:
    return workspace.sql(query, run).column(0)[0].as_py()


def test_the_workspace_and_its_runs(client: Any, workspace: Workspace) -> None:
    about = client.get("/api/workspace")
    assert (about["root"], about["runs"], about["weak_to_strong"]) == (str(workspace.store.root), 2, [])
    runs = client.get("/api/runs")
    told = workspace.sql("SELECT run, labels AS label, rows AS documents, kept, dropped, errored FROM runs").to_pylist()
    names = list(told[0])
    assert [{name: run[name] for name in names} for run in reversed(runs)] == told
    assert {run["state"] for run in runs} == {"done"}
    assert all(run["progress"] is None and run["ended"] and run["seconds"] >= 0 for run in runs)


def test_a_run_has_its_stages_and_recipe(client: Any, workspace: Workspace) -> None:
    run = client.get("/api/runs/strict")
    assert run == client.get("/api/runs/latest")
    assert [(stage["stage"], stage["gate"]) for stage in run["stages"]] == [
        (row["stage"], row["keep"])
        for row in workspace.sql(f"SELECT stage, keep FROM stages WHERE run = '{run['run']}'").to_pylist()
    ]
    assert {"field": "score", "type": "double", "numeric": True} in run["stages"][1]["fields"]
    assert run["recipe"].startswith("name: numbers")


def test_documents_by_every_filter(client: Any, workspace: Workspace) -> None:
    for query, condition in (
        ("", "true"),
        ("outcome=kept", "kept"),
        ("stage=m", "dropped_by = 'm'"),
        ("rule=" + quote("n.score >= 60 is false"), "dropped_by = 'n'"),
        ("text=" + quote("ROW'7"), "contains(id, 'row''7')"),
        ("id=" + quote("row'7"), "id = 'row''7'"),
        ("where=" + quote("n.score > 100 AND m.score < 50"), "n.score > 100 AND m.score < 50"),
    ):
        answer = client.get(f"/api/runs/strict/documents?n=100&{query}")
        docs = workspace.sql(f"SELECT doc_id::VARCHAR AS d FROM documents WHERE {condition} ORDER BY doc_id", "strict")
        assert answer["total"] == docs.num_rows > 0, query
        assert [document["doc"] for document in answer["documents"]] == docs.column(0).to_pylist()[:100]


def test_pages_of_documents_hold_each_once(client: Any) -> None:
    docs: list[str] = []
    after = ""
    while after is not None:
        page = client.get(f"/api/runs/strict/documents?n=60&order={quote('m.score desc')}&after={after}")
        docs += [document["doc"] for document in page["documents"]]
        after = page["after"]
    assert len(docs) == len(set(docs)) == page["total"] == ROWS


def test_a_document_tells_its_story_and_has_its_twin_beside_it(client: Any, workspace: Workspace) -> None:
    row = workspace.sql("SELECT doc_id, twin FROM documents WHERE dropped_by = 'exact' LIMIT 1", "strict").to_pylist()[
        0
    ]
    told = client.get(f"/api/runs/strict/documents/{row['doc_id']}")
    assert [(stage["stage"], stage["verdict"]) for stage in told["story"]] == [
        ("input", "passed"), ("n", "passed"), ("m", "passed"), ("exact", "dropped"),
    ]  # fmt: skip
    assert told["document"]["twin"] == told["twin"]["doc"] == str(row["twin"])
    assert {piece["side"] for piece in told["diff"]["pieces"]} == {"both"}
    assert "".join(piece["text"] for piece in told["document"]["pieces"]).endswith(HOSTILE)
    assert told["labels"] == []


def test_answers_hold_nothing_that_ends_a_line_or_an_element(client: Any) -> None:
    import http.client

    connection = http.client.HTTPConnection(client.host, client.port)
    connection.request("GET", "/api/runs/strict/documents?n=3", headers={"Host": "localhost"})
    body = connection.getresponse().read()
    assert body.isascii()
    assert b"\\u202e" in body


def test_sql_has_its_columns_and_says_where_it_was_cut(client: Any, workspace: Workspace) -> None:
    query = "SELECT outcome, count(*) AS n FROM documents GROUP BY ALL ORDER BY ALL"
    answer = client.post("/api/sql", {"query": query, "run": "loose"})
    assert [column["name"] for column in answer["columns"]] == ["outcome", "n"]
    assert answer["rows"] == [list(row.values()) for row in workspace.sql(query, "loose").to_pylist()]
    assert not answer["truncated"]
    cut = client.post("/api/sql", {"query": "FROM range(100000)", "limit": 10})
    assert (len(cut["rows"]), cut["truncated"]) == (10, True)
    odd = "SELECT 9007199254740993, 'nan'::DOUBLE, NULL, repeat('x', 1000000)"
    special = client.post("/api/sql", {"query": odd})
    assert special["rows"][0][:3] == ["9007199254740993", None, None], "browsers round whole numbers"
    assert len(special["rows"][0][3]) < 30_000


def test_charts_are_those_of_reports(client: Any, workspace: Workspace) -> None:
    funnel = client.get("/api/runs/strict/funnel")
    assert [row["rows_out"] for row in funnel["rows"]][:4] == workspace.funnel("strict").column("rows_out").to_pylist()
    histogram = client.get("/api/runs/strict/histogram?field=n.score")
    assert histogram["documents"] == ROWS
    assert histogram["bounds"][0]["passing"] == one(workspace, "SELECT count(*) FROM documents WHERE n.score >= 60")
    assert client.get("/api/runs/strict/scatter?x=n.score&y=m.score")["kind"] == "scatter"
    assert client.get("/api/runs/strict/clusters?stage=exact")["dropped"] > 0
    assert client.get("/api/runs/strict/origin")["run"] == client.get("/api/runs/strict")["run"]
    assert client.refused("GET", "/api/runs/strict/histogram") == (400, "C004")
    assert client.refused("GET", "/api/runs/strict/histogram?field=n.nothing") == (400, "C025")
    assert client.refused("GET", "/api/runs/strict/selection?stage=n") == (404, "C032")


def test_two_runs_beside_each_other(client: Any, workspace: Workspace) -> None:
    told = client.get("/api/diff?a=loose&b=strict")
    lost = next(row for row in told["moved"] if row["change"] == "kept → dropped")
    assert lost["documents"] == workspace.diff("loose", "strict").moved.to_pylist()[0]["documents"]
    story = client.get(f"/api/runs/strict/documents/{lost['docs'][0]}")
    assert story["document"]["outcome"] == "dropped"


def test_a_workspace_that_may_only_be_read(numbers: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with serving(numbers) as client:
        assert client.get("/api/workspace")["readonly"]
        assert client.get("/api/runs/strict/documents?n=1")["total"] == ROWS


def test_every_address_of_a_view_is_the_page(client: Any) -> None:
    pages = {client.ask("GET", path)[2] for path in ("/", "/runs/latest", "/runs/x/documents/3?stage=n")}
    assert len(pages) == 1
    [page] = pages
    import re

    for name in re.findall(rb'(?:src|href)="(/assets/[^"]+)"', page):
        status, headers, _ = client.ask("GET", name.decode())
        assert status == 200
        assert "immutable" in headers["cache-control"]
    assert b"<script>" not in page


def test_times_that_python_has_no_words_for_are_shown(client: Any) -> None:
    query = "select date 'infinity' a, timestamp '-infinity' b, timestamp '294000-01-01' c, 1 d"
    [row] = client.post("/api/sql", {"query": query})["rows"]
    assert all(isinstance(value, str) for value in row[:3])
    assert row[3] == 1
