"""A selection says in one sentence whether it follows length, and shows as nearly picked what could have been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.report.selection import length_verdict
from pipelines.running.events import Event, Notice
from pipelines.workspace import Workspace


def report(overlap: float | None, spearman: float | None, chance: float = 0.05, **more: Any) -> dict[str, Any]:
    beside = {"overlap": overlap, "spearman": spearman}
    return {"baselines": {"longest": beside}, "chance": chance, "selected": 7, "documents": 140, **more}


@pytest.mark.parametrize(
    ("overlap", "spearman", "says"),
    [
        (0.57, 0.71, "**Mostly length**: 57% of the picks are among the longest (by chance 5%), rank correlation of"),
        (0.57, None, "**Mostly length**: 57% of the picks are among the longest (by chance 5%). Compare"),
        (0.0, -0.8, "**Mostly the shorter ones**: 0% of the picks"),
        (0.30, 0.10, "Partly length: 30%"),
        (0.07, -0.10, "Not by length: 7%"),
    ],
)
def test_one_sentence_says_whether_it_is_length(overlap: float, spearman: float | None, says: str) -> None:
    assert length_verdict(report(overlap, spearman)).startswith(says)


def test_where_all_or_none_are_selected_there_is_nothing_to_say() -> None:
    assert "nothing to say" in length_verdict(report(None, None, selected=0))
    assert "nothing to say" in length_verdict(report(1.0, 0.9, selected=140, chance=1.0))


@pytest.mark.parametrize("select", ["top", "longest"])
def test_a_run_ends_with_it_where_the_choice_is_mostly_length_and_was_not_to_be(select: str, tmp_path: Path) -> None:
    texts = [" ".join(f"w{(7 * n + k) % 211}" for k in range(5 + 3 * n)) for n in range(60)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    stage = {"select": select, "fraction": 0.2, **({"by": "words.words"} if select == "top" else {})}
    rules = {"scorer": "rules", "id": "words", "profile": "gopher-quality@datatrove"}
    recipe = {"name": "r", "input": {"path": str(tmp_path / "texts.parquet")}, "stages": [rules, stage]}
    told: list[Event] = []
    result = Workspace(tmp_path / "ws").run(recipe, executor="local", report=told.append)
    assert result.kept == 12
    assert result.folder
    card = (result.folder / "README.md").read_text()
    assert ("By length, as it was asked to." in card, "Mostly length" in card) == (select == "longest", select == "top")
    assert "| stage | kind | in | kept | dropped | errored | gate |" in card
    assert "| words | rules | 60 | 60 | 0 | 0 |" in card
    assert "| 60 | 12 | 48 | 0 |" in card
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert [text for text in notices if "Mostly length: 100% of the picks are among the longest" in text] == [
        text for text in notices if text.startswith("top: ")
    ]
    assert any("Mostly length" in text for text in notices) == (select == "top")
