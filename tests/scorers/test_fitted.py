"""Scorers that learn from examples, in a run: fitted on the pool, pinned, and the same whenever they are asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.scorers.attribution import ranked
from pipelines.workspace import Workspace

COOKING = [
    f"Chop the {a} and stir it into the {b}, then bake for {n} minutes."
    for n, (a, b) in enumerate((a, b) for a in ["onion", "apple", "leek", "plum"] for b in ["dough", "stew", "soup"])
]
NEWS = [
    f"The {a} voted on {b} to spend {n} million on the bridge."
    for n, (a, b) in enumerate((a, b) for a in ["council", "senate", "board", "party"] for b in ["Monday", "Friday"])
]
POOL = [text for pair in zip(NEWS * 3, [*COOKING, *COOKING], strict=True) for text in pair]


def recipe(folder: Path) -> dict[str, Any]:
    (folder / "wanted.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in COOKING[::2]))
    pq.write_table(pa.table({"text": [*POOL, "   ", "x"]}), folder / "pool.parquet")
    target = {"target": str(folder / "wanted.jsonl"), "sample": 40}
    return {
        "name": "kitchen",
        "input": {"path": str(folder / "pool.parquet"), "columns": {"text": "text"}},
        "stages": [
            {"scorer": "dsir", "smoothing": 1.0, **target},
            {"scorer": "contrast", "order": 2, **target},
            {"scorer": "fasttext", "seeds": target["target"], "sample": 40, "dim": 8, "epochs": 50},
            {"select": "top", "by": "fasttext.prob", "count": 24},
        ],
        "output": {"columns": ["text", "dsir.per_token", "contrast.difference", "fasttext.prob"]},
    }


@pytest.mark.long
def test_a_run_fits_them_selects_by_them_and_a_fresh_one_gives_the_same(tmp_path: Path) -> None:
    kept = []
    for name in ("one", "two"):
        result = Workspace(tmp_path / name).run(recipe(tmp_path), executor="local", workers=1)
        assert result.outcome == "done", result.failures
        [dataset] = Workspace(tmp_path / name).sql("SELECT path FROM datasets").to_pylist()
        parts = sorted((tmp_path / name / dataset["path"]).glob("data/*.parquet"))
        kept.append(pa.concat_tables([pq.read_table(part) for part in parts]))
    assert kept[0].equals(kept[1])
    texts = kept[0].column("text").to_pylist()
    assert len(texts) == 24
    assert sum(text in COOKING for text in texts) >= 22
    addresses = Workspace(tmp_path / "one").sql("SELECT address FROM models").column("address").to_pylist()
    assert sorted(address.rpartition("/models/")[2].rpartition("-")[0] for address in addresses) == [
        "contrast",
        "dsir",
        "fasttext",
    ]


def test_pieces_that_occur_again_are_added_up_and_the_weightiest_come_first() -> None:
    assert ranked(["b", "a", "b", "c"], np.array([1.0, -3.0, 1.5, 3.0])) == [("a", -3.0), ("c", 3.0), ("b", 2.5)]
    assert ranked([], np.array([])) == []
