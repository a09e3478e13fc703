"""Special tokens, limits and pairs are the tokenizers library's; packs hold every sequence once and are nearly full."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.models.locate import LocatedModel
from curation.models.sequences import BARE, Sequences, fill, frame, framed, framed_pairs, pack
from curation.models.tokens import Tokens, load_tokenizer

WORDS = ["a", "bb", "tide", "gauge", "unbelievable", "café", "東京", "[SEP]", "x"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)


def array(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@pytest.fixture(scope="module")
def tokens(minilm: LocatedModel) -> Tokens:
    return Tokens(minilm)


@pytest.mark.long
@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=5), st.integers(3, 40))
def test_texts_and_pairs_are_framed_and_cut_as_the_library_does(
    tokens: Tokens, pairs: list[tuple[str, str]], limit: int
) -> None:
    library = load_tokenizer(tokens.model)
    library.enable_truncation(max_length=limit)
    first, second = (array([pair[place] for pair in pairs]) for place in (0, 1))
    one = framed(tokens.ids(first, limit), frame(tokens), limit)
    two = framed_pairs(tokens.ids(first), tokens.ids(second), frame(tokens, pair=True), limit)
    for cut, expected in ((one, library.encode_batch(first.to_pylist())), (two, library.encode_batch(pairs))):
        assert cut.sequences.ids.tolist() == [token for encoding in expected for token in encoding.ids]
        assert cut.tokens.tolist() == [len(encoding.ids) for encoding in expected]
        assert cut.truncated.tolist() == [bool(encoding.overflowing) for encoding in expected]
    assert two.sequences.types is not None
    assert two.sequences.types.tolist() == [kind for encoding in expected for kind in encoding.type_ids]


def test_text_that_has_its_special_tokens_gets_no_others(tokens: Tokens) -> None:
    cut = framed(tokens.ids(array(["[CLS] tide [SEP]", ""])), BARE, 2)
    assert cut.sequences.ids.tolist() == tokens.library.encode("[CLS] tide", add_special_tokens=False).ids
    assert (cut.tokens.tolist(), cut.truncated.tolist()) == ([2, 0], [True, False])


@given(st.lists(st.integers(1, 64), max_size=60), st.integers(1, 70))
def test_packs_hold_every_sequence_once_and_are_nearly_full(lengths: list[int], most: int) -> None:
    packs = pack(np.array(lengths, dtype=np.int64), 64, most)
    assert sorted(row for rows in packs for row in rows) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in rows) <= 64 and len(rows) <= most for rows in packs)
    assert all((np.diff(rows) > 0).all() for rows in packs)
    if most >= 64:
        assert len(packs) <= 1.7 * sum(lengths) / 64 + 1  # the bound of best fit


def test_a_pack_is_filled_in_order_and_positions_restart() -> None:
    values = np.array([7, 8, 1, 2, 3], np.int32), np.array([0, 1, 0, 0, 1], np.int8)
    sequences = Sequences(np.array([0, 2, 2, 5]), *values)
    ids, positions, types, starts = fill(sequences, np.array([0, 2]), 8, 4)
    assert ids.tolist() == [7, 8, 1, 2, 3, 0, 0, 0]
    assert positions.tolist() == [4, 5, 4, 5, 6, 4, 4, 4]
    assert types.tolist() == [0, 1, 0, 0, 1, 0, 0, 0]
    assert starts.tolist() == [0, 2]
