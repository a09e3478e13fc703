"""A selection says in one sentence whether it follows length, and shows as nearly picked what could have been."""

from __future__ import annotations

from typing import Any

import pytest

from curation.report.selection import length_verdict


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
