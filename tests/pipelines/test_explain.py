"""Why a document was kept or dropped, by whichever name one has for it, and the same from Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import _main
from pipelines.workspace import Workspace
from schemas.errors import CurationError


def one(workspace: Workspace, condition: str) -> dict[str, Any]:
    """A document for which the condition holds, as `documents` has it."""
    return workspace.sql(f"SELECT * FROM documents WHERE {condition} ORDER BY doc_id LIMIT 1").to_pylist()[0]


@pytest.mark.long
@pytest.mark.parametrize("outcome", ["kept", "dropped", "errored"])
def test_every_name_of_a_document_leads_to_the_same_facts(
    outcome: str, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = finished[1].workspace
    row = one(workspace, f"outcome = '{outcome}' AND row > 0")
    path = Path(row["path"])
    monkeypatch.chdir(path.parent.parent)
    names = [
        f"{path}#{row['row']}",
        f"{path.parent.name}/{path.name}#{row['row']}",
        f"{path.name}#{row['row']}",
        str(row["doc_id"]),
    ]
    if row["id"] is not None:
        names.append(row["id"])
    found = [workspace.explain(name) for name in names]
    assert all(item == found[0] for item in found)
    [explanation] = found[0]
    assert explanation.outcome == outcome
    for name in ("doc_id", "id", "path", "row", "dropped_by", "reason", "score", "threshold", "similarity"):
        assert getattr(explanation, name) == row[name]


def test_a_gate_names_its_first_false_part_with_values_score_and_threshold(finished: Any) -> None:
    workspace = finished[1].workspace
    row = one(workspace, "dropped_by = 'gopher' AND gopher.words >= 20")
    [found] = workspace.explain(str(row["doc_id"]))
    ratio = row["gopher"]["alpha_words_ratio"]
    assert found.reason == f"gopher.alpha_words_ratio >= 0.6 is false: {ratio}"
    assert (found.score, found.threshold) == (ratio, 0.6)
    assert ratio < 0.6
    assert found.details == {"gopher.alpha_words_ratio": ratio}
    assert [view.stage for view in found.stages] == [
        "input",
        "language",
        "gopher",
        "remove_lines",
        "exact",
        "minhash",
        "top",
    ]
    assert [view.verdict for view in found.stages] == ["passed", "passed", "dropped", *["not reached"] * 4]
    assert found.stages[2].values == row["gopher"]
    assert found.stages[2].keep == "gopher.words >= 20 and gopher.alpha_words_ratio >= 0.6"
    assert found.stages[3].values is None
    text = "\n".join(found.lines())
    assert f"dropped by gopher: gopher.alpha_words_ratio >= 0.6 is false: {ratio}\n" in text
    assert "because" not in text


@pytest.mark.parametrize("stage", ["exact", "minhash"])
def test_a_duplicate_names_its_twin_and_how_alike_they_are(stage: str, finished: Any) -> None:
    workspace = finished[1].workspace
    row = one(workspace, f"dropped_by = '{stage}'")
    [found] = workspace.explain(f"{row['path']}#{row['row']}")
    keeper = one(workspace, f"doc_id = {row['twin']}")
    assert keeper["dropped_by"] != stage
    assert found.twin == f"{keeper['path']}#{keeper['row']}"
    assert found.similarity == row["similarity"]
    assert found.similarity == 1 if stage == "exact" else 0.7 <= found.similarity <= 1
    assert found.link is not None
    assert found.link_similarity >= 0.7
    assert found.containment is not None
    assert found.loss is not None
    told = "\n".join(found.lines())
    assert f"duplicate of {found.twin}, which stayed at this stage (similarity {found.similarity:.4f}, " in told
    assert f"{found.containment:.1%} of its word 3-grams stand there)" in told
    assert f"lost: {found.loss:.1%} of them" in told
    assert "through a chain" not in told
    if stage == "minhash":
        assert found.threshold == 0.7


@pytest.mark.long
def test_a_cut_names_the_score_of_the_last_that_came_in(finished: Any) -> None:
    workspace = finished[1].workspace
    row = one(workspace, "dropped_by = 'top'")
    [found] = workspace.explain(str(row["doc_id"]))
    last = workspace.sql("SELECT min(language.prob) AS last FROM documents WHERE kept").to_pylist()[0]["last"]
    assert found.threshold == pytest.approx(last)
    assert found.score == pytest.approx(row["language"]["prob"])
    assert found.score <= found.threshold


def test_a_kept_document_passed_every_stage(finished: Any) -> None:
    workspace = finished[1].workspace
    [found] = workspace.explain(str(one(workspace, "kept")["doc_id"]))
    assert {view.verdict for view in found.stages} == {"passed"}
    assert (found.dropped_by, found.reason, found.twin) == (None, None, None)
    assert found.lines()[1] == "kept: it passed every stage"


def test_the_command_says_what_python_says(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = finished[1].workspace
    name = str(one(workspace, "dropped_by = 'minhash'")["doc_id"])
    [found] = workspace.explain(name)
    assert _main(["explain", name, "-w", str(finished[1].root), "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == [json.loads(json.dumps(found.as_dict()))]
    assert _main(["explain", name, "-w", str(finished[1].root)]) == 0
    assert capsys.readouterr().out.splitlines() == found.lines()


@pytest.mark.parametrize(
    "name", ["nosuch", "a.parquet#100000", "99999999999", "#", "²", "a.parquet#²", "9" * 30, "' OR true --", ""]
)
def test_an_unknown_document_is_c032_and_says_how_to_name_one(name: str, finished: Any) -> None:
    with pytest.raises(CurationError) as failure:
        finished[1].workspace.explain(name)
    [finding] = failure.value.findings
    assert finding.code == "C032"
    assert "path#row" in (finding.hint or "")


@pytest.mark.long
def test_one_id_of_several_documents_lists_them_all_and_numbers_may_be_ids(tmp_path: Path) -> None:
    rows = [("first one here", 7), ("second one here", 1), ("third one here", 7), ("fourth one here", 3)]
    pq.write_table(pa.table({"text": [text for text, _ in rows], "n": [n for _, n in rows]}), tmp_path / "a.parquet")
    settings = {
        "name": "ids",
        "input": {"path": str(tmp_path / "a.parquet"), "columns": {"id": "n"}},
        "stages": [{"dedup": "exact"}],
    }
    workspace = Workspace(tmp_path / "ws")
    workspace.run(settings, executor="local", workers=1)
    assert [found.row for found in workspace.explain("7")] == [0, 2]
    assert [found.row for found in workspace.explain("1")] == [1]  # its id and, as the file is the first, its doc_id
    assert [(found.row, found.id) for found in workspace.explain("3")] == [(3, "3")]
    assert [(found.row, found.id) for found in workspace.explain("2")] == [(2, "7")]


@pytest.mark.long
def test_an_older_run_is_explained_when_it_is_named(mine: Any, light: Callable[..., dict[str, Any]]) -> None:
    run, held = mine
    held.workspace.run(light(language=0.9), executor="local", workers=2)
    row = one(held.workspace, "dropped_by = 'language' AND language.lang = 'en' AND language.prob < 0.85")
    [now] = held.workspace.explain(str(row["doc_id"]))
    [before] = held.workspace.explain(str(row["doc_id"]), run)
    assert (now.dropped_by, now.threshold) == ("language", 0.9)
    assert before.dropped_by != "language"
    assert before.run == run != now.run
