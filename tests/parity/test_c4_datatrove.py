"""C4's line rules leave and drop what datatrove 0.10.1 does; its answers are frozen by make_gopher_vectors.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.rules.c4 import clean
from curation.text.edits import apply_edits

HERE = Path(__file__).parent
SHARED = HERE.parents[1].parent / "shared" / "data"
VECTORS: dict[str, Any] = json.loads((HERE / "c4_datatrove.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(VECTORS["texts"])), ids=[case["name"] for case in VECTORS["texts"]])
def test_texts_are_edited_and_dropped_as_by_datatrove(number: int) -> None:
    case = VECTORS["texts"][number]
    text = pa.array([case["text"]], pa.large_string())
    cleaned = clean(text)
    assert cleaned["reason"].to_pylist() == [case["reason"]]
    if case["reason"] is None:
        assert apply_edits(text, cleaned["edits"]).to_pylist() == [case["left"]]


def test_the_vectors_hold_every_reason() -> None:
    reasons = {case["reason"] for case in VECTORS["texts"]}
    assert reasons == {None, "lorem_ipsum", "curly_bracket", "too_few_sentences"}


@pytest.mark.parametrize("file", VECTORS["shared"])
def test_real_documents_are_edited_and_dropped_as_by_datatrove(file: str) -> None:
    path = SHARED / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here: the data sets are not shipped")
    frozen = VECTORS["shared"][file]
    texts = pq.read_table(path, columns=["text"])["text"].combine_chunks().cast(pa.large_string())
    texts = texts.take(pa.array(np.arange(0, len(texts), frozen["step"])))
    cleaned = clean(texts)
    reasons = cleaned["reason"].to_pylist()
    assert [row for row, (a, b) in enumerate(zip(reasons, frozen["reasons"], strict=True)) if a != b] == []
    left = apply_edits(texts, cleaned["edits"]).to_pylist()
    hashes = [
        None if reason else hashlib.sha256(text.encode()).hexdigest()[:16]
        for reason, text in zip(reasons, left, strict=True)
    ]
    assert hashes == frozen["sha256"]
