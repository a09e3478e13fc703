"""Documents that charts show: which, the same each time, with what was found in them, and whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.charts.diff import common, word_diff
from pipelines.charts.documents import documents, load
from pipelines.charts.report import report_data
from pipelines.charts.run import OpenRun
from pipelines.charts.texts import pieces, repeated
from pipelines.results.marks import Mark
from pipelines.workspace import Workspace


def text_of(document: Any) -> str:
    return "".join(piece["text"] for piece in document["pieces"])


def test_documents_are_nearest_to_thresholds_and_of_each_reason(opened: OpenRun, workspace: Workspace) -> None:
    chart = documents(opened)
    assert chart["note"] is None  # all could be drawn
    groups = {(g["by"], g["field"], g["threshold"], g["side"], g["rule"]): g for g in chart["groups"]}
    near = groups["threshold", "gopher.words", 20.0, "failing", None]
    [row] = workspace.sql(
        "SELECT max(gopher.words) AS most, count(*) AS n FROM documents WHERE gopher.words < 20"
    ).to_pylist()
    assert near["total"] == row["n"]
    assert near["documents"][0]["scores"]["gopher.words"] == row["most"]
    rules = workspace.sql("SELECT DISTINCT rule FROM drops").column("rule").to_pylist()
    assert {g["rule"] for g in chart["groups"] if g["by"] == "reason"} == set(rules)
    assert all(d["rule"] == g["rule"] for g in chart["groups"] if g["by"] == "reason" for d in g["documents"])
    assert {g["outcome"] for g in chart["groups"] if g["by"] == "random"} == {"kept", "dropped"}
    assert json.dumps(documents(opened)) == json.dumps(chart)


def test_spans_are_marked_where_they_stand(opened: OpenRun, workspace: Workspace) -> None:
    shown = next(row for row in workspace.show(kept=True, count=40) if "short line" in row["text"])
    document = load(opened, [shown["doc_id"]], 5000)[shown["doc_id"]]
    assert text_of(document) == shown["text"]
    edited = "".join(
        p["text"] if p["mark"] is None or p["mark"]["put"] is None else p["mark"]["put"] for p in document["pieces"]
    )
    assert edited == shown["edited"]
    marked = {(p["mark"]["what"], p["mark"]["label"]): p["text"] for p in document["pieces"] if p["mark"]}
    assert "@example.org" in marked["pii", "email"]
    assert "short line" in marked["edit", ""]


def test_a_long_text_is_its_beginning_and_what_is_around_marks() -> None:
    text = "ä" * 4000 + "FOUND" + "ö" * 4000
    shown, count = pieces(text, [Mark(8000, 8005, "email", stage="pii")], {"pii": "redact-pii"}, 1500)
    assert [(p["text"][:1], p["skipped"] > 0) for p in shown] == [
        ("ä", False), ("", True), ("ä", False), ("F", False), ("ö", False), ("", True)
    ]  # fmt: skip
    assert sum(len(p["text"]) + p["skipped"] for p in shown) == len(text)
    assert count == sum(len(p["text"]) for p in shown) <= 1500
    assert shown[3]["mark"] == {"what": "pii", "stage": "pii", "label": "email", "put": "", "weight": None}
    plain, count = pieces(text, [], {}, 1500)
    assert (plain[0]["text"], plain[1]["skipped"], count) == ("ä" * 1500, len(text) - 1500, 1500)


def test_repeated_words_are_marked_but_for_the_first_time() -> None:
    text = "One two three four five six. And one two three four five six again."
    [mark] = repeated(text, "rules")
    assert text[mark.start : mark.end] == "one two three four five six"


def test_hostile_documents_are_valid_unicode_and_short(charted: Path) -> None:
    report = report_data(Workspace(charted).manifest)
    sent = json.dumps(report, allow_nan=False)
    assert len(sent) < 1_000_000
    sent.encode()
    assert json.loads(json.dumps(report, ensure_ascii=False).encode()) == json.loads(sent)
    assert report["missing"] == []
    assert (report["state"], report["note"]) == ("done", None)
    every = [d for g in report["documents_shown"]["groups"] for d in g["documents"]]
    [long] = [d for d in every if d["characters"] > 10_000_000][:1]
    assert long["shown"] <= 1500
    assert long["id"] == "<b>4</b>\u202e"  # as it is: pages show it as text
    again = [d for d in every if d["stage"] == "repeats"]
    assert again
    assert any(piece["mark"] and piece["mark"]["what"] == "repeated" for d in again for piece in d["pieces"])


def test_a_diff_has_both_texts_and_a_template_what_all_share() -> None:
    gone, kept = "All rights reserved by Ada in 1999 for ever.", "All rights  reserved by Grace, in 2001 for ever."
    diff = word_diff(("1", gone), ("2", kept))
    assert "".join(p["text"] for p in diff["pieces"] if p["side"] != "kept") == gone
    assert [p["text"].strip() for p in diff["pieces"] if p["side"] == "kept"] == ["Grace,", "2001"]
    assert common([gone, kept, "All rights reserved by nobody, ever."]) == ["All rights reserved by"]
    assert common([gone]) == []


def test_texts_that_are_gone_are_told(charted: Path, tmp_path: Path) -> None:
    source = charted.parent / "books.parquet"
    moved = source.rename(tmp_path / "books.parquet")
    try:
        report = report_data(Workspace(charted).manifest)
    finally:
        moved.rename(source)
    shown = [d for g in report["documents_shown"]["groups"] for d in g["documents"]]
    assert shown
    assert all("cannot be shown" in str(d["note"]) and not d["pieces"] for d in shown)
    assert [missing["piece"] for missing in report["missing"]] == ["striking"]
    assert report["histograms"]


def test_of_many_bytes_some_shards_are_read_and_that_is_said(opened: OpenRun, monkeypatch: Any) -> None:
    monkeypatch.setattr("pipelines.charts.run.READ", 1)
    chart = documents(opened, attributions=False)
    [shard] = opened.sampled
    assert chart["note"] == (
        f"Drawn from 1 of 2 shards, chosen by hash: {shard['rows']:,} of {opened.documents:,} documents."
    )
    drawn = {document["path"] for group in chart["groups"] for document in group["documents"]}
    assert drawn == {opened.shards[shard["shard"]]["path"]}
    assert sum(g["total"] or 0 for g in chart["groups"] if g["by"] == "random") == shard["rows"]
