"""A stack in a recipe: its members' columns, why a score is what it is, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scorer_cases import write_stack

from curation.models.locate import ModelError
from curation.scorers.alone import run
from curation.scorers.base import Context
from curation.scorers.leave_one_out import attribution_of
from curation.scorers.stack import Stack, StackSettings
from schemas.documents import TEXT

TEXTS = ["Chop the onion, then stir the soup.", " ", "The council voted again.", "зыб " * 400]


def test_a_stack_sums_up_its_members_columns(tmp_path: Path) -> None:
    write_stack(tmp_path / "model")
    scorer = Stack(StackSettings(model="path:model"), Context(tmp_path))
    assert set(scorer.requires()) == {"gopher", "ngram"}
    found = run(scorer, pa.record_batch({"text": pa.array(TEXTS, TEXT)})).to_pylist()
    assert [row["status"] for row in found] == ["ok", "empty", "ok", "ok"]
    assert found[0]["logit"] > found[2]["logit"]
    for text, row in zip(TEXTS, found, strict=True):
        if row["logit"] is not None:
            assert row["prob"] == pytest.approx(1 / (1 + np.exp(-row["logit"])), abs=1e-6)
            why = attribution_of(scorer, pa.record_batch({"text": pa.array([text], TEXT)}))
            assert why is not None
            assert why.total == pytest.approx(row["logit"], abs=1e-5)
    assert {name for name, _ in why.pieces} == {
        "length: text.words",
        "rules: gopher.mean_word_length",
        "ngram: ngram.prob",
        "(bias)",
    }


def test_what_is_no_stack_is_refused(tmp_path: Path) -> None:
    write_stack(tmp_path / "model")
    path = tmp_path / "model/scorer.json"
    facts = json.loads(path.read_text())
    changes = [
        {"kind": "ngram"},
        {"task": "ordinal"},
        {"columns": [["rules", "gopher", "nothing"]]},
        {"columns": [["rules", "nobody", "words"]]},
        {"members": {**facts["members"], "gopher": {"scorer": "nothing"}}},
        {"members": {**facts["members"], "gopher": {"scorer": "dsir", "target": "x.txt"}}},
    ]
    for change in changes:
        path.write_text(json.dumps({**facts, **change}))
        with pytest.raises(ModelError):
            Stack(StackSettings(model="path:model"), Context(tmp_path))
    path.write_text(json.dumps({**facts, "columns": facts["columns"][:2]}))
    with pytest.raises(ModelError, match="another number"):
        Stack(StackSettings(model="path:model"), Context(tmp_path)).load()
