"""A slider's answer is what `curate what-if` says, and what a run with these gates keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe.gates import with_gates
from pipelines.workspace import Workspace
from schemas.errors import CurationError

RECIPE = """# top
name: x # n
stages:
  - scorer: language   # c1
    keep: language.prob > 0.65 # why
  - {scorer: language, id: two}   # c2
  - scorer: rules
    id: r
    keep: >
      r.words > 5
      and r.words < 7
    # after
  - scorer: rules
    id: q   # last
    lines:
      - a
      - b # c

  # bare
  - scorer: language
    id: z
    keep: 'z.lang = ''it'''
"""


@pytest.mark.parametrize("run", ["strict", "loose"])
@pytest.mark.parametrize(
    "gates",
    [
        {},
        {"n": "n.score >= 60"},
        {"n": "n.score >= 20"},
        {"n": "n.score >= 10 AND n.score < 190", "m": "m.score > 50"},
        {"m": ""},
        {"n": "n.score >= 0", "m": "n.score > 100 OR m.score < 20"},
        {"m": "(CASE WHEN m.score < 10 THEN 'x' ELSE '1' END)::int > 0"},
        {"exact": "exact.cluster_size < 2"},
    ],
)
def test_it_is_what_what_if_says(run: str, gates: dict[str, str], client: Any, numbers: Path) -> None:
    told = client.post(f"/api/runs/{run}/gates", {"gates": gates})
    workspace = Workspace(numbers)
    asked = [text or "true" for text in gates.values()] or ["m.score >= 30"]
    answer = workspace.what_if(*asked, stage=next(iter(gates), "m") if len(gates) < 2 else None, run=run)
    names = ("rows_in", "rows_out", "dropped", "errored", "again")
    assert [{name: row[name] for name in names} for row in told["by_stage"]] == [
        {name: getattr(stage, name) for name in names} for stage in answer.stages
    ]
    assert (told["kept"], told["kept_before"]) == (answer.kept, answer.was)
    unscored = sum(row["documents"] for row in told["unscored"])
    assert unscored == answer.to_score + answer.to_decide
    assert told["documents"] == told["kept"] + told["dropped"] + told["errored"] + unscored
    assert told["kept"] == told["kept_before"] + told["gained"] - told["lost"]


def test_those_who_change_sides_are_those_of_the_other_run(client: Any, numbers: Path) -> None:
    workspace = Workspace(numbers)
    kept = {
        run: set(workspace.sql("SELECT doc_id::VARCHAR FROM documents WHERE kept", run).column(0).to_pylist())
        for run in ("loose", "strict")
    }
    told = client.post("/api/runs/loose/gates", {"gates": {"n": "n.score >= 60"}, "examples": 20})
    lost = [document["doc"] for document in told["examples"]["lost"]]
    assert len(set(lost)) == min(told["lost"], 20) > 0
    assert set(lost) <= kept["loose"] - kept["strict"]
    assert all(document["pieces"] for document in told["examples"]["lost"])
    again = client.post("/api/runs/loose/gates", {"gates": {"n": "n.score >= 60"}, "examples": 20})
    assert [document["doc"] for document in again["examples"]["lost"]] == lost
    wider = client.post("/api/runs/loose/gates", {"gates": {"m": "m.score >= 20"}, "examples": 5})
    waiting = [document["doc"] for document in wider["examples"]["unscored"]]
    assert wider["unscored"][0]["stage"] == "exact"
    assert waiting
    assert not set(waiting) & kept["loose"]
    assert "computes its choice again" in wider["note"]


def test_columns_are_taken_into_memory_as_gates_ask_for_them(client: Any) -> None:
    small = client.post("/api/runs/strict/gates", {"gates": {}})["memory"]
    told = client.post("/api/runs/strict/gates", {"gates": {"n": "input.bytes > 0 AND n.score >= 60"}})
    assert told["kept"] == told["kept_before"]
    assert told["memory"] >= small > 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"gates": {"n": "n.scor > 1"}}, "C010"),
        ({"gates": {"n": "n.score >"}}, "C009"),
        ({"gates": {"n": "m.score > 1"}}, "C010"),
        ({"gates": {"n": "(SELECT 1) > 0"}}, "C011"),
        ({"gates": {"nothing": "true"}}, "C032"),
        ({"gates": ["n.score > 1"]}, "C004"),
        ({"gates": {"n": 3}}, "C004"),
        ({"gates": {}, "examples": "all"}, "C004"),
        ({}, "C004"),
    ],
)
def test_what_cannot_stand_there_is_refused(body: Any, code: str, client: Any) -> None:
    assert client.refused("POST", "/api/runs/strict/gates", body)[1] == code


def test_the_recipe_s_text_has_the_gates_and_keeps_its_comments(client: Any, numbers: Path) -> None:
    text = client.get("/api/runs/strict")["recipe"]
    told = client.post("/api/runs/strict/recipe", {"gates": {"n": "n.score >= 7", "exact": "exact.cluster_size < 9"}})
    assert told["recipe"] != text
    assert "keep: n.score >= 7\n" in told["recipe"]
    workspace = Workspace(numbers)
    assert [gate and gate.sql for gate in workspace.check(_mapping(told["recipe"])).gates] == [
        "n.score >= 7", "m.score >= 30", "exact.cluster_size < 9",
    ]  # fmt: skip
    assert client.refused("POST", "/api/runs/strict/recipe", {"gates": {"n": "n.score >"}})[1] == "C009"
    assert client.refused("POST", "/api/runs/strict/recipe", {"gates": {"x": "true"}})[1] == "C032"


def test_only_gates_change_in_a_text() -> None:
    gates = {
        "language": "language.prob > 0.8",
        "two": "two.prob > 0.5",
        "r": "true",
        "q": 'q.words >= 3 # no: {"a"}\nand \u202e',
        "z": "z.prob < 1",
    }
    text = with_gates(RECIPE, gates)
    assert _mapping(text)["stages"] == [
        stage | {"keep": keep} for stage, keep in zip(_mapping(RECIPE)["stages"], gates.values(), strict=True)
    ]
    for comment in ("# top", "# n", "# c1", "# why", "# c2", "    # after", "# last", "# c", "  # bare"):
        assert comment in text
    assert "{scorer: language, id: two, keep: two.prob > 0.5}   # c2" in text
    assert "    keep: language.prob > 0.8 # why\n" in text
    assert "\u202e" not in text
    assert with_gates(text, gates) == text


def test_a_text_whose_stages_share_a_value_is_not_edited() -> None:
    text = "stages:\n  - {scorer: language, id: a, keep: &k a.prob > 1}\n  - {scorer: language, id: b, keep: *k}\n"
    with pytest.raises(CurationError) as failure:
        with_gates(text, {"a": "a.prob > 2"})
    assert failure.value.findings[0].code in ("C039", "C002")


def _mapping(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)
