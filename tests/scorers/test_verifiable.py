"""Final numbers, letters and texts are found and compared; gsm8k's own answers pass, shifted ones do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curation.scorers.base import Context
from curation.scorers.verifiable import NOT_SAMPLES, Verifiable, VerifiableSettings
from pipelines.workspace import Workspace
from schemas.documents import TEXT

GSM8K = Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k_test.parquet"


def checked(pairs: list[tuple[str, str]], **settings: Any) -> list[dict[str, Any]]:
    settings = settings if "samples" in settings else {"response": "response", **settings}
    scorer = Verifiable(VerifiableSettings(**settings), Context(Path()))
    batch = pa.record_batch({n: pa.array([p[i] for p in pairs], TEXT) for i, n in enumerate(scorer.reads)})
    return scorer.score(batch).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("reference", "response", "passes"),
    [
        ("#### 72", "48 / 2 = 24, and 48 + 24 = 72.", True),
        ("#### 1,000", "So it costs $1000.00 in all.", True),
        ("#### 1000", "The answer is 1,000 dollars, not 999.", True),
        ("#### -5", "x = −5", True),
        ("#### 0.5", r"\boxed{1/2}", True),
        ("3/4", "0.75", True),
        ("1/3", "0.3333333333", True),
        ("#### 50", "That is 50%.", True),
        ("#### 0", "-0", True),
        ("#### 72", "#### 73 (72 would be wrong)", False),
        ("#### 72", "seventy-two", False),
        ("#### 7", "The answer is 70.", False),
        ("5", "5/0", False),
    ],
)
def test_final_numbers(reference: str, response: str, passes: bool) -> None:
    [row] = checked([(reference, response)])
    assert (row["pass_rate"], row["passed"], row["samples"]) == (float(passes), int(passes), 1)


@pytest.mark.parametrize(
    ("match", "reference", "response", "passes"),
    [
        ("choice", "B", "The answer is (B) because of A.", True),
        ("choice", "b", "B", False),  # a lone small letter is a word
        ("choice", "C", "It cannot be A, so it must be C.", True),
        ("choice", "C", "None of them", False),
        ("exact", "Paris.", "  paris ", True),
        ("exact", "Paris", "In Paris", False),
    ],
)
def test_choices_and_texts(match: str, reference: str, response: str, passes: bool) -> None:
    [row] = checked([(reference, response)], match=match)
    assert row.get("pass_rate") == (float(passes) if reference != "b" else None)


def test_a_marker_says_where_the_answer_stands() -> None:
    rows = checked([("Answer= 4", "2 + 2. Answer= 4 (not 5)"), ("Answer= 4", "2 + 2 = 4")], marker="Answer=")
    assert [row["pass_rate"] for row in rows] == [1.0, 0.0]
    assert rows[1]["found"] is None


def test_samples_have_a_rate_and_what_is_none_has_a_status() -> None:
    many = json.dumps(["It is 4.", "5", "#### 4.0", "no idea"])
    rows = checked(
        [("4", many), ("", many), ("4", ""), ("no number", many), ("4", "[1]"), ("4", "{"), ("4", "[]")],
        samples="responses",
    )
    assert rows[0]["pass_rate"] == 0.5
    assert (rows[0]["passed"], rows[0]["samples"], rows[0]["expected"], rows[0]["found"]) == (2, 4, "4", "4")
    assert [row["status"] for row in rows] == ["ok", "empty", "empty", "empty", "error", "error", "empty"]
    assert [row["message"] for row in rows][4:6] == [NOT_SAMPLES] * 2
    assert all(row["pass_rate"] is None for row in rows[1:])


def test_settings_that_say_too_little_or_too_much_are_refused() -> None:
    for settings in ({}, {"response": "a", "samples": "b"}):
        with pytest.raises(ValidationError, match="either response"):
            VerifiableSettings(**settings)
    with pytest.raises(ValueError, match="one column"):
        Verifiable(VerifiableSettings(reference="a", response="a"), Context(Path()))


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_lists_are_read_as_they_come(kind: str, tmp_path: Path) -> None:
    """A column of lists of texts is a column of samples, and is written as it was."""
    rows = [{"text": f"{n} + {n}?", "answer": str(2 * n), "said": [str(2 * n), "7"]} for n in range(4)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    else:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "sums",
        "input": {"path": str(tmp_path / f"in.{kind}"), "columns": {"answer": "answer", "said": "said"}},
        "stages": [{"scorer": "verifiable", "samples": "said", "keep": "verifiable.pass_rate < 1"}],
    }
    result = Workspace(tmp_path / "ws").run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    table = pq.read_table(next(result.dataset.glob("*.parquet")))
    said = table.column("said").to_pylist()
    assert [json.loads(row) if isinstance(row, str) else row for row in said] == [row["said"] for row in rows]


@pytest.mark.skipif(not GSM8K.is_file(), reason="shared/data is not there")
def test_every_worked_solution_of_gsm8k_reaches_its_own_answer_and_no_other() -> None:
    answers = pq.read_table(GSM8K).column("answer").to_pylist()
    finals = [answer.rpartition("####")[2].strip() for answer in answers]
    own = checked(list(zip(finals, answers, strict=True)))
    assert np.mean([row["pass_rate"] for row in own]) == 1
    other = checked(list(zip(finals, [*answers[1:], answers[0]], strict=True)))
    same = [a.replace(",", "") == b.replace(",", "") for a, b in zip(finals, [*finals[1:], finals[0]], strict=True)]
    assert [row["pass_rate"] == 1 for row in other] == same
