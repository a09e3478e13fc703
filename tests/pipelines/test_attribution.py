"""`curate explain --why`: the pieces of a document that moved a stage's score, in the text as that stage saw it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.main import _main
from pipelines.workspace import Workspace
from schemas.errors import CurationError

COOK = "Chop the onion, peel the plum and stir both into the soup until it boils."
NEWS = "The council voted on Tuesday to spend three million on the new bridge."


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("why")
    text = [f"{COOK}\nlorem click here\n{NEWS}", f"{NEWS} Twice.", f"{COOK} Once."]
    pq.write_table(pa.table({"text": text, "id": ["a", "b", "c"]}), folder / "in.parquet")
    (folder / "seeds.txt").write_text("\n".join(f"{COOK} {n}" for n in range(5)))
    recipe = {
        "name": "why",
        "input": {"path": str(folder / "in.parquet"), "columns": {"id": "id"}},
        "stages": [
            {"transform": "remove-lines", "profile": "c4@datatrove", "rules": {"min_num_sentences": 0}},
            {"scorer": "dsir", "id": "near", "target": str(folder / "seeds.txt"), "sample": 3},
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove"},
        ],
    }
    result = Workspace(folder / "ws").run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    return folder / "ws"


def test_weights_add_up_to_the_stored_score_of_the_edited_text(workspace: Path) -> None:
    opened = Workspace(workspace)
    stored = opened.sql("SELECT id, near.log_weight AS value FROM documents ORDER BY id").to_pylist()
    for row in stored:
        [explanation] = opened.explain(row["id"])
        found = opened.attribute(explanation, "near")
        assert found is not None
        assert found.total == pytest.approx(row["value"], abs=1e-9)
        assert not any("lorem" in piece for piece, _ in found.pieces)


def test_the_command_prints_the_weightiest_and_what_they_add_up_to(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["explain", "a", "-w", str(workspace), "--why", "near", "-n", "3", "-f", "json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)["rows"]
    assert len(rows) == 4
    assert rows[3]["piece"].endswith("more)")
    assert "add up to log_weight = " in said.err


def test_a_stage_that_scores_nothing_is_named(workspace: Path) -> None:
    opened = Workspace(workspace)
    [explanation] = opened.explain("a")
    with pytest.raises(CurationError, match="no scorer 'nothing'") as caught:
        opened.attribute(explanation, "nothing")
    assert caught.value.findings[0].code == "C032"
