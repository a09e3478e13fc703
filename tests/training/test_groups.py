"""Near-duplicates stay on one side of a split, whatever the order of the examples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.duplicates.groups import clusters, split, split_rows
from schemas.documents import TEXT

BASE = "the tide gauge records the height of the sea against a mark on land hour after hour for number"


def texts() -> list[str]:
    found = [f"{BASE} {n} " + " ".join(f"w{n}x{k}" for k in range(12)) for n in range(60)]
    found += [text.replace("sea", "lake") for text in found[:20]]
    return [*found, "short", "Short ", "other"]


def test_copies_with_a_few_words_changed_are_one_cluster() -> None:
    all_texts = texts()
    found = clusters(pa.array(all_texts, TEXT))
    assert found[60:80].tolist() == list(range(20))
    assert len(np.unique(found)) == 62
    assert found[80] == found[81] != found[82]


def test_pairs_may_be_told_to_belong_together() -> None:
    found = clusters(pa.array(["a b c d", "e f g h", "i j k l"], TEXT), np.array([[0, 2]]))
    assert found.tolist() == [0, 1, 0]


def test_a_split_holds_out_whole_clusters_and_does_not_know_the_order() -> None:
    text = pa.array(texts(), TEXT)
    groups = clusters(text)
    held = split(text, groups, 0.3)
    assert 0.15 < held.mean() < 0.45
    assert not np.isin(groups[held], groups[~held]).any()
    order = np.random.default_rng(0).permutation(len(text))
    again = text.take(pa.array(order))
    np.testing.assert_array_equal(split(again, clusters(again), 0.3), held[order])
    assert (split(text, groups, 0.3, seed=1) != held).any()


def test_large_clusters_are_held_out_no_more_often_than_small_ones() -> None:
    text = pa.array([f"text {n}" for n in range(6000)], TEXT)
    for size in (1, 3, 20):
        groups = np.arange(6000) // size * size
        assert abs(split(text, groups, 0.3).mean() - 0.3) < 0.09


def test_a_number_of_rows_is_held_out_in_whole_clusters() -> None:
    text = pa.array(texts(), TEXT)
    groups = clusters(text)
    for rows in (0, 1, 7, 30):
        held = split_rows(text, groups, rows)
        assert held.sum() == rows
        assert not np.isin(groups[held], groups[~held]).any()
    order = np.random.default_rng(0).permutation(len(text))
    again = text.take(pa.array(order))
    np.testing.assert_array_equal(split_rows(again, clusters(again), 30), split_rows(text, groups, 30)[order])
    pairs = np.arange(6) // 2 * 2
    assert split_rows(text.slice(0, 6), pairs, 3).sum() == 2, "a cluster that does not fit is not cut"
