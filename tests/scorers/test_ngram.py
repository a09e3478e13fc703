"""A model of n-grams in a recipe: what it says, why, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scorer_cases import write_ngram

from curation.models.locate import ModelError
from curation.scorers.alone import run
from curation.scorers.base import Context
from curation.scorers.leave_one_out import attribution_of
from curation.scorers.ngram import Ngram, NgramSettings
from schemas.documents import TEXT

TEXTS = ["Chop the onion, then stir the soup.", "", "The council voted again.", "зыб", "naïve 😀 stir " * 30]


@pytest.mark.parametrize("task", ["binary", "regression", "ordinal"])
def test_scores_are_sums_of_what_ngrams_add(task: str, tmp_path: Path) -> None:
    write_ngram(tmp_path / "model", task)
    scorer = Ngram(NgramSettings(model="path:model"), Context(tmp_path))
    found = run(scorer, pa.record_batch({"text": pa.array(TEXTS, TEXT)})).to_pylist()
    field = "logit" if task == "binary" else "score"
    assert [row["status"] for row in found] == ["ok", "empty", "ok", "empty", "ok"]
    assert found[0][field] > found[2][field]
    for text, row in zip(TEXTS, found, strict=True):
        why = attribution_of(scorer, pa.record_batch({"text": pa.array([text], TEXT)}))
        if row[field] is None:
            assert why is None or not why.pieces
        elif task != "ordinal":
            assert why is not None
            assert (why.what, why.exact) == (field, True)
            assert why.total == pytest.approx(row[field], abs=1e-5)
    if task == "binary":
        assert found[0]["prob"] == pytest.approx(1 / (1 + np.exp(-found[0]["logit"])), abs=1e-6)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    write_ngram(tmp_path / "model")
    facts = json.loads((tmp_path / "model/scorer.json").read_text())
    changes = [
        {"kind": "fasttext"},
        {"task": "pairwise"},
        {"ngrams": {"shortest": 1}},
        {"sublinear": 1},
        {"ngrams": {"shortest": 2, "longest": 999, "words": 2}},
    ]
    for change in changes:
        (tmp_path / "model/scorer.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(ModelError):
            Ngram(NgramSettings(model="path:model"), Context(tmp_path)).identity()
    (tmp_path / "model/scorer.json").write_text(json.dumps(facts))
    (tmp_path / "model/head.safetensors").write_bytes((tmp_path / "model/head.safetensors").read_bytes()[:-8])
    with pytest.raises(ModelError):
        Ngram(NgramSettings(model="path:model"), Context(tmp_path)).identity()
