"""What another gate would keep is what a run with it keeps, and what is not known is said to be not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.results.what_if import WhatIf
from pipelines.workspace import Workspace
from schemas.errors import CurationError

COUNTS = ("rows_in", "dropped", "errored", "rows_out")


def counts(answer: WhatIf) -> list[tuple[int, ...]]:
    return [tuple(getattr(stage, name) for name in COUNTS) for stage in answer.stages]


@pytest.mark.parametrize(("run", "other"), [("loose", "strict"), ("strict", "loose")])
def test_it_foretells_the_run(run: str, other: str, strict_and_loose: Any) -> None:
    workspace = strict_and_loose[0]
    listed = f"SELECT stage, keep FROM stages JOIN runs USING (run) WHERE labels = '{other}'"
    gates = workspace.sql(listed).to_pylist()
    asked = {row["stage"]: row["keep"] for row in gates if row["stage"] in ("language", "gopher")}
    answer = workspace.what_if(*asked.values(), run=run)
    funnel = workspace.funnel(other).to_pylist()
    assert counts(answer) == [tuple(row[name] for name in COUNTS) for row in funnel]
    assert (answer.to_score, answer.to_decide, answer.gates) == (0, 0, asked)
    assert [stage.was for stage in answer.stages] == [row["rows_out"] for row in workspace.funnel(run).to_pylist()]


def test_what_no_run_has_scored_is_to_be_scored_first(strict_and_loose: Any) -> None:
    workspace, alone = strict_and_loose
    loose = workspace.funnel("loose").to_pylist()
    assert alone.to_score > 0
    assert counts(alone)[:2] == [tuple(row[name] for name in COUNTS) for row in loose[:2]], "the first gate is known"
    assert alone.kept <= loose[-1]["rows_out"] <= alone.kept + alone.to_score
    assert f"{alone.to_score:,} would have to be scored by 'gopher' first, and perhaps after it" in alone.lines()


def test_the_run_s_own_gate_changes_nothing(strict_and_loose: Any) -> None:
    answer = strict_and_loose[0].what_if("gopher.words >= 40", run="strict")
    funnel = strict_and_loose[0].funnel("strict").to_pylist()
    assert counts(answer) == [tuple(row[name] for name in COUNTS) for row in funnel]
    assert answer.lines()[0].endswith(f"{answer.was:,} kept; so it would be {answer.was:,}")


def test_a_gate_that_fails_for_some_documents_errs_for_these_alone(strict_and_loose: Any) -> None:
    gate = "CASE WHEN language.lang = 'en' THEN true ELSE language.lang::int > 0 END"
    foreign = (
        strict_and_loose[0].sql("SELECT count(*) AS n FROM documents WHERE language.lang != 'en'", "loose").to_pylist()
    )
    [_, language, *_] = strict_and_loose[0].what_if(gate, run="loose").stages
    assert (language.errored, language.dropped) == (foreign[0]["n"], 0)
    assert language.errored > 0


def test_what_a_dedup_would_say_of_others_is_not_foretold(finished: Any) -> None:
    workspace = finished[1].workspace
    same = workspace.what_if("gopher.words >= 20 and gopher.alpha_words_ratio >= 0.6")
    assert not any(stage.again for stage in same.stages)
    answer = workspace.what_if("language.prob > 0.9 and language.lang = 'en'")
    assert [stage.stage for stage in answer.stages if stage.again] == ["exact", "minhash", "top"]
    assert answer.lines()[-1] == "other documents reach 'exact': a run computes its choice again"
    assert "about" in answer.lines()[0]
    narrow = workspace.what_if("language.prob > 0.9")
    assert narrow.lines()[1] == f"at 'language' in place of: {narrow.instead_of['language']}"
    assert "lang = " in narrow.instead_of["language"], "what is asked for no more is said"
    assert not same.instead_of
    nothing = workspace.what_if("gopher.words < 0")
    assert nothing.lines()[-1] == "no document would reach 'exact'"
    assert nothing.lines()[0].endswith("so it would be 0")
    behind = workspace.what_if("exact.cluster_size > 0")  # its duplicates are new to the next
    assert [stage.stage for stage in behind.stages if stage.again] == ["minhash", "top"]
    assert (behind.to_decide, behind.stages[5].to_decide) == (same.stages[4].dropped, same.stages[4].dropped)


@pytest.mark.parametrize(
    ("gates", "stage", "code"),
    [
        (["gopher.word > 3"], None, "C010"),
        (["gofer.words > 3"], None, "C010"),
        (["gopher.words > 3 &&"], None, "C009"),
        (["gopher.words"], None, "C011"),
        (["exact.cluster_size < 2"], "gopher", "C010"),
        (["input.bytes > 3"], None, "C004"),
        ([], None, "C004"),
        (["true"], "input", "C032"),
        (["gopher.words > 3", "gopher.words < 9"], None, "C004"),
        (["gopher.words > 3", "language.prob > 0"], "gopher", "C004"),
    ],
)
def test_a_gate_that_cannot_stand_there_is_refused(
    gates: list[str], stage: str | None, code: str, finished: Any
) -> None:
    with pytest.raises(CurationError) as failure:
        finished[1].workspace.what_if(*gates, stage=stage)
    assert [finding.code for finding in failure.value.findings] == [code]


def test_two_gates_lose_no_document(tmp_path: Path) -> None:
    """Of those that come to the second stage anew, some have no score of the third, though others have one."""
    texts = [" ".join(["word"] * words) + "\nA line." * lines for words in (3, 30) for lines in (1, 9)] * 2
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")

    def recipe(first: str, second: str) -> dict[str, Any]:
        stages = [
            {"scorer": "rules", "id": "first", "profile": "gopher-quality@datatrove", "keep": first},
            {"scorer": "rules", "id": "second", "profile": "fineweb-paper", "keep": second},
            {"scorer": "rules", "id": "third", "profile": "readability"},
        ]
        return {"name": "two", "input": {"path": str(tmp_path / "texts.parquet")}, "stages": stages}

    workspace = Workspace(tmp_path / "ws")
    run = workspace.run(recipe("first.words >= 30", "second.lines >= 5"), executor="local", workers=1).run
    workspace.run(recipe("first.words >= 1", "second.lines >= 5"), executor="local", workers=1)
    answer = workspace.what_if("first.words >= 1", "second.lines >= 1", run=run)
    assert [stage.to_score for stage in answer.stages] == [0, 0, 0, 4]
    assert (answer.was, answer.kept) == (2, 4)
