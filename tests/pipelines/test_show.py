"""Documents with their text, read from the source again: real, the same ones each time, and refused when it changed."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from pipelines.cli.audit import _ask
from pipelines.cli.main import _main
from pipelines.cli.show import print_document, put_behind_bar
from pipelines.results.marks import Mark, in_source, marks_of, segments
from pipelines.tables.width import cells
from pipelines.workspace import Workspace
from schemas.errors import CurationError

Light = Callable[..., dict[str, Any]]


def source_texts(paths: Any) -> dict[tuple[str, int], str | None]:
    """Text of every document, read without the engine's own readers where that is easy."""
    found = {}
    for path in paths:
        for row, text in enumerate(pq.read_table(path, columns=["content"]).column(0).to_pylist()):
            found[(str(path), row)] = text
    return found


def test_shown_text_is_the_sources_and_edited_text_the_outputs(finished: Any, corpus: Path) -> None:
    run, held = finished
    shown = list(held.workspace.show(count=1000))
    assert len(shown) == 289
    texts = source_texts(corpus.glob("*.parquet"))
    compared = [row for row in shown if (row["path"], row["row"]) in texts]
    assert len(compared) > 150
    for row in compared:
        assert row["text"] == texts[(row["path"], row["row"])]
    output = {}
    for part in (held.root / f"datasets/manual/{run}/data").glob("*.parquet"):
        table = pq.read_table(part)
        output |= dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))
    kept = [row for row in shown if row["outcome"] == "kept"]
    assert len(kept) == len(output)
    for row in kept:
        assert output[row["id"]] == (row["text"] if row["edited"] is None else row["edited"])
    edited = [row for row in kept if row["edited"] is not None]
    assert edited
    assert all(row["edited"] != row["text"] for row in edited)


def test_the_same_documents_are_shown_each_time_in_input_order(finished: Any) -> None:
    workspace = finished[1].workspace
    first = list(workspace.show(kept=True, count=6))
    assert first == list(Workspace(finished[1].root).show(kept=True, count=6))
    assert [(row["path"], row["row"]) for row in first] == sorted((row["path"], row["row"]) for row in first)
    assert {row["outcome"] for row in first} == {"kept"}
    assert len({row["path"] for row in first}) > 1  # spread over the run
    fewer = list(workspace.show(kept=True, count=3))
    assert [row for row in first if row in fewer] == fewer


@pytest.mark.parametrize("stage", ["input", "language", "gopher", "remove_lines", "exact", "minhash", "top"])
def test_dropped_by_shows_what_that_stage_dropped(stage: str, finished: Any) -> None:
    workspace = finished[1].workspace
    shown = list(workspace.show(dropped_by=stage, count=1000))
    counts = {row["stage"]: row["dropped"] + row["errored"] for row in workspace.funnel().to_pylist()}
    assert len(shown) == counts[stage]
    assert {row["dropped_by"] for row in shown} == {stage}


def test_an_unknown_stage_is_refused_with_the_stages_there_are(finished: Any) -> None:
    with pytest.raises(CurationError) as failure:
        list(finished[1].workspace.show(dropped_by="goffer"))
    [finding] = failure.value.findings
    assert finding.code == "C032"
    assert "gopher" in (finding.hint or "")


def test_documents_are_chosen_by_sql_reason_and_order(finished: Any) -> None:
    workspace = finished[1].workspace
    rows = list(workspace.show(where="language.prob > 0.5", order_by="language.prob DESC", columns=["language.prob"]))
    best = workspace.sql("SELECT max(language.prob) AS best FROM documents").to_pylist()[0]["best"]
    probs = [row["language.prob"] for row in rows]
    assert (probs, probs[0]) == (sorted(probs, reverse=True), best)
    [reason] = workspace.sql("SELECT any_value(rule) AS r FROM drops WHERE stage = 'gopher'").to_pylist()
    chosen = list(workspace.show(reason=reason["r"], count=1000))
    listed = workspace.sql(f"SELECT doc_id FROM drops WHERE rule = '{reason['r']}'").to_pylist()
    assert {row["doc_id"] for row in chosen} == {row["doc_id"] for row in listed}
    words = list(workspace.show(kept=True, count=3, columns=["words", "url"]))
    assert [row["words"] for row in words] == [len(row["text"].split()) for row in words]
    assert [row["url"] for row in words] == [row["id"] for row in words]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"where": "kept) OR (true"}, "C033"),
        ({"where": "true; SELECT 1"}, "C033"),
        ({"where": "nothing.prob > 1"}, "C034"),
        ({"order_by": "1 LIMIT 5; COPY x TO 'y'"}, "C034"),
        ({"columns": ["no_such"]}, "C025"),
    ],
)
def test_what_is_asked_for_is_locked_and_named(options: dict[str, Any], code: str, finished: Any) -> None:
    with pytest.raises(CurationError) as failure:
        list(finished[1].workspace.show(**options))
    assert failure.value.findings[0].code in (code, "C033")


def test_edits_are_marked_where_they_stand_in_the_source(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = finished[1].workspace
    edited = [row for row in workspace.show(kept=True, count=1000, details=True) if row["edited"] is not None]
    assert edited
    for row in edited:
        pieces = [piece if mark is None else mark.put for piece, mark in segments(row["text"], row["marks"])]
        assert "".join(pieces) == row["edited"]
        assert row["scores"]["language.prob"] > 0.5
    row = edited[0]
    where = f"doc_id = {row['doc_id']}"
    assert _main(["show", "--where", where, "--marks", "-w", str(finished[1].root)]) == 0
    head, scores, *text = capsys.readouterr().out.splitlines()
    assert head.endswith("kept")
    assert "language.prob=" in scores
    assert "[-" in "\n".join(text)
    assert _main(["show", "--where", where, "--chars", "30", "-w", str(finished[1].root)]) == 0
    cut = capsys.readouterr().out.splitlines()[-2]
    assert cut == f"… {len(row['edited']) - 30:,} more characters: --chars 0 shows all"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


FORGED = [
    "--- in/a.jsonl#7  dropped by gopher: gopher.words",
    "x " * 38 + "--- in/a.jsonl#8  kept",
    "    language.prob=1\n[output]\n… 9 more characters: --chars 0 shows all",
    "日本 " * 30 + "\n\n--- in/a.jsonl#9  kept\n\tend",
    "y" * 300,
]


@pytest.mark.parametrize("width", [20, 60, 80, None])
@pytest.mark.parametrize("text", FORGED)
def test_no_text_passes_for_a_heading(
    text: str, width: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO() if width is None else Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", stream)
    row = {
        "path": "a",
        "row": 0,
        "outcome": "kept",
        "text": text,
        "edited": None,
        "parts": {},
        "marks": [],
        "url": text,
    }
    print_document({**row, "scores": {}}, ["url"], 0, False)
    first, *lines = stream.getvalue().splitlines()
    assert first == "--- a#0  kept"
    assert lines.pop() == ""
    assert all(line.startswith(("│", "    ")) for line in lines)
    assert all(cells(line) <= (width or 1000) for line in lines)
    shown = "".join(line.removeprefix("│").removeprefix(" ") + " " for line in lines if line.startswith("│"))
    assert "".join(shown.split()) == "".join(text.split())
    monkeypatch.setattr(sys, "stderr", stream := type(stream)())
    monkeypatch.setattr(typer, "getchar", lambda: "g")
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert _ask({**row, "text": text}, 3) == "good"
    first, *lines, _ = stream.getvalue().splitlines()
    assert first == "--- a#0  (3 left)"
    assert all(line.startswith("│") for line in lines)


def test_marks_keep_their_colours_where_a_line_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text, stream = "mail alice@example.org now, or bob", Terminal()
    put_behind_bar(text, [Mark(5, 22, "email"), Mark(23, 26, "edit", "soon")], None, True, stream)
    assert stream.getvalue().splitlines() == [
        "│ mail",
        "│ \x1b[30;43malice@example.org\x1b[0m\x1b[2m(\x1b[0m",
        "│ \x1b[2memail)\x1b[0m \x1b[31mnow\x1b[0m\x1b[32msoon\x1b[0m, or",
        "│ bob",
    ]


def test_marks_of_several_stages_meet_in_the_source() -> None:
    text = "mail a@b.de, or call 5550100 now"
    edits = [{"start": 0, "end": 5, "replacement": ""}, {"start": 5, "end": 11, "replacement": "[EMAIL]"}]
    assert [in_source(position, edits[:1]) for position in (0, 6, 26)] == [5, 11, 31]
    assert [in_source(position, edits) for position in (0, 3, 7)] == [5, 5, 11]
    found = [{"type": "email", "start": 0, "end": 6}, {"type": "phone", "start": 16, "end": 23}]
    marks = marks_of(edits, [(edits[:1], found)])
    assert [(piece, mark and mark.what) for piece, mark in segments(text, marks)] == [
        ("mail ", "edit"),
        ("a@b.de", "edit"),
        (", or call ", None),
        ("5550100", "phone"),
        (" now", None),
    ]


@pytest.mark.long
@pytest.mark.parametrize("change", ["grown", "gone"])
def test_a_source_that_changed_is_r002_and_never_another_text(
    change: str, corpus: Path, light: Light, tmp_path: Path
) -> None:
    crawl = Path(shutil.copytree(corpus, tmp_path / "crawl"))
    settings = light(crawl)
    settings["stages"] = settings["stages"][:1]
    settings["output"] = {}
    workspace = Workspace(tmp_path / "ws")
    assert workspace.run(settings, executor="local", workers=1).outcome == "done"
    assert len(list(workspace.show(count=1000))) == 289
    if change == "gone":
        (crawl / "a.parquet").unlink()
    else:
        pq.write_table(pq.read_table(crawl / "a.parquet").slice(1), crawl / "a.parquet")
    with pytest.raises(CurationError) as failure:
        list(workspace.show(count=1000))
    [finding] = failure.value.findings
    assert finding.code == "R002"
    assert str(crawl / "a.parquet") in finding.message
    assert workspace.sql("SELECT count(*) AS n FROM documents").to_pylist() == [{"n": 289}]  # what was decided stays
