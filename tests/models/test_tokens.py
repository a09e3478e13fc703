"""Ids are those of the tokenizers library, found once a block, as far as needed, whoever asks."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.models.locate import LocatedModel, locate
from curation.models.tokens import BYTE_CAP, Ids, Tokens, _portions, _safe_cut, load_tokenizer
from curation.text.analysis import forget, take
from small_models import write_tiny_causal

TEXTS = ["The weather is lovely today.", "", "[SEP] naïve 東京", "sun " * 300, "x" * 500]


def array(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@pytest.fixture
def tokens(minilm: LocatedModel) -> Tokens:
    return Tokens(minilm)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(locate(f"path:{write_tiny_causal(tmp_path_factory.mktemp('tokens') / 'model')}"), literal=True)


def test_ids_are_the_librarys_without_special_tokens(minilm: LocatedModel, tokens: Tokens) -> None:
    expected = load_tokenizer(minilm).encode_batch(TEXTS, add_special_tokens=False)
    found = tokens.ids(array(TEXTS))
    bounds = found.documents.tolist()
    assert [found.ids[a:b].tolist() for a, b in pairwise(bounds)] == [e.ids for e in expected]
    assert Ids.of(found.array()).ids.tolist() == found.ids.tolist()
    assert found.array().type.value_type == pa.uint16()
    some = Ids.of(found.array().slice(2, 2))
    assert some.ids.tolist() == found.take(np.array([2, 3])).ids.tolist() == [*expected[2].ids, *expected[3].ids]


def test_a_block_is_tokenised_once_and_again_only_where_more_is_wanted(
    tokens: Tokens, minilm: LocatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    encode = Tokens._encode

    def counted(self: Tokens, texts: list[str]) -> list[np.ndarray]:
        read.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(Tokens, "_encode", counted)
    forget()
    text = array(TEXTS)
    first = tokens.ids(text, 100)
    assert first.counts().tolist() == [6, 0, 4, 101, 1]
    other = Tokens(minilm)  # of another model with the same vocabulary
    assert other.ids(text, 50) is first
    assert sum(read) == len(TEXTS)
    assert other.ids(take(text, np.array([3, 0])), 100).counts().tolist() == [101, 6]
    assert sum(read) == len(TEXTS)
    whole = tokens.ids(text)
    assert whole.counts().tolist() == [6, 0, 4, 300, 1]
    assert sum(read) == len(TEXTS) + 1
    assert Tokens(minilm, literal=True).ids(text).counts().tolist() != whole.counts().tolist()


def test_what_a_model_adds_does_not_change_the_key(tokens: Tokens, minilm: LocatedModel, tmp_path: Path) -> None:
    shutil.copytree(minilm.folder, tmp_path / "model")
    path = tmp_path / "model/tokenizer.json"
    file = json.loads(path.read_text())
    path.write_text(json.dumps({**file, "truncation": None, "padding": None, "post_processor": None}))
    assert Tokens(locate(f"path:{tmp_path}/model")).key == tokens.key
    path.write_text(json.dumps({**file, "normalizer": None}))
    assert Tokens(locate(f"path:{tmp_path}/model")).key != tokens.key


@settings(deadline=None)
@given(st.text(alphabet=" a\n'é.9", min_size=1, max_size=200), st.integers(2, 60))
def test_the_head_of_a_text_has_the_tokens_of_the_whole(byte_level: Tokens, text: str, reach: int) -> None:
    head = text[: _safe_cut(text, reach)]
    whole, cut = (byte_level.library.encode(part).ids for part in (text, head))
    assert whole[: len(cut)] == cut


@pytest.mark.long
def test_a_long_text_is_tokenised_as_far_as_needed(byte_level: Tokens, tokens: Tokens) -> None:
    texts = ["sun moon " * 50_000, "x" * 100_000, " " * 10_000 + "tail " * 5_000, "漢字" * 5_000, "a [SEP] b " * 9_000]
    for chosen in (byte_level, tokens):
        found = chosen.ids(array(texts), 50)
        for row, text in enumerate(texts):
            ids = found.ids[found.documents[row] : found.documents[row + 1]].tolist()
            assert ids == chosen.library.encode(text, add_special_tokens=False).ids[:51]


def test_a_document_beyond_the_cap_is_refused_unless_its_beginning_suffices(tokens: Tokens) -> None:
    texts = ["é" * (BYTE_CAP // 2 + 1), "a", "sun " * (BYTE_CAP // 4 + 1)]
    assert tokens.ids(array(texts), 20).refused().tolist() == [True, False, False]
    assert tokens.ids(array(texts[:2])).counts().tolist() == [1, 1]
    assert not tokens.ids(array(["", "x"])).refused().any()


@given(st.lists(st.integers(0, 1 << 22), max_size=700))
def test_portions_cover_all_documents_in_order(sizes: list[int]) -> None:
    portions = _portions(sizes)
    assert [row for begin, end in portions for row in range(begin, end)] == list(range(len(sizes)))
    assert all(end - begin == 1 or sum(sizes[begin:end]) <= 1 << 21 for begin, end in portions)
