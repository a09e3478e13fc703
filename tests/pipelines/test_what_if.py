"""What another gate would keep is what a run with it keeps, and what is not known is said to be not known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.results.what_if import WhatIf
from pipelines.workspace import Workspace
from schemas.errors import CurationError

STRICT = {"language": "language.lang = 'en' and language.prob > 0.9", "gopher": "gopher.words >= 40"}
LOOSE = {"language": "language.prob > 0.3", "gopher": "gopher.words >= 20 or language.lang != 'en'"}
COUNTS = ("rows_in", "dropped", "errored", "rows_out")


def settings(light: Callable[..., Any], gates: dict[str, str], *more: dict[str, Any]) -> dict[str, Any]:
    """Language, rules, a transform and rules on what it leaves; then perhaps more."""
    made: dict[str, Any] = light()
    language, gopher, edit = made["stages"][:3]
    last = {"scorer": "rules", "id": "fine", "profile": "fineweb-paper", "keep": "fine.pass or gopher.words > 60"}
    stages = [{**language, "keep": gates["language"]}, {**gopher, "keep": gates["gopher"]}, edit, last, *more]
    return {**made, "stages": stages, "output": {}}


def counts(answer: WhatIf) -> list[tuple[int, ...]]:
    return [tuple(getattr(stage, name) for name in COUNTS) for stage in answer.stages]


@pytest.fixture(scope="module")
def both(light: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A strict run, what was said of the loose gates when there was no other, and then the loose run."""
    workspace = Workspace(tmp_path_factory.mktemp("what-if") / "ws")
    strict = workspace.run(settings(light, STRICT), executor="local", label="strict")
    alone = workspace.what_if(*LOOSE.values())
    loose = workspace.run(settings(light, LOOSE), executor="local", label="loose")
    assert (strict.outcome, loose.outcome) == ("done", "done")
    assert loose.kept > strict.kept
    return workspace, alone


@pytest.mark.parametrize(("run", "other", "gates"), [("loose", "strict", STRICT), ("strict", "loose", LOOSE)])
def test_it_foretells_the_run(run: str, other: str, gates: dict[str, str], both: Any) -> None:
    answer = both[0].what_if(*gates.values(), run=run)
    funnel = both[0].funnel(other).to_pylist()
    assert counts(answer) == [tuple(row[name] for name in COUNTS) for row in funnel]
    assert (answer.to_score, answer.to_decide, answer.gates) == (0, 0, gates)
    assert [stage.was for stage in answer.stages] == [row["rows_out"] for row in both[0].funnel(run).to_pylist()]


def test_what_no_run_has_scored_is_to_be_scored_first(both: Any) -> None:
    workspace, alone = both
    loose = workspace.funnel("loose").to_pylist()
    assert alone.to_score > 0
    assert counts(alone)[:2] == [tuple(row[name] for name in COUNTS) for row in loose[:2]], "the first gate is known"
    assert alone.kept <= loose[-1]["rows_out"] <= alone.kept + alone.to_score
    assert f"{alone.to_score:,} would have to be scored by 'gopher' first, and perhaps after it" in alone.lines()


def test_the_run_s_own_gate_changes_nothing(both: Any) -> None:
    answer = both[0].what_if(STRICT["gopher"], run="strict")
    assert counts(answer) == [tuple(row[name] for name in COUNTS) for row in both[0].funnel("strict").to_pylist()]
    assert answer.lines()[0].endswith(f"{answer.was:,} kept; so it would be {answer.was:,}")


def test_a_gate_that_fails_for_some_documents_errs_for_these_alone(both: Any) -> None:
    gate = "CASE WHEN language.lang = 'en' THEN true ELSE language.lang::int > 0 END"
    foreign = both[0].sql("SELECT count(*) AS n FROM documents WHERE language.lang != 'en'", "loose").to_pylist()
    [_, language, *_] = both[0].what_if(gate, run="loose").stages
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
        (["true"], "input", "C032"),
        (["gopher.words > 3", "gopher.words < 9"], None, "C004"),
        (["gopher.words > 3", "language.prob > 0"], "gopher", "C004"),
    ],
)
def test_a_gate_that_cannot_stand_there_is_refused(
    gates: list[str], stage: str | None, code: str, finished: Any, tmp_path: Path
) -> None:
    with pytest.raises(CurationError) as failure:
        finished[1].workspace.what_if(*gates, stage=stage)
    assert [finding.code for finding in failure.value.findings] == [code]
