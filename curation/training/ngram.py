"""Linear models of character and word n-grams: which n-grams count, what each is worth, and texts as their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text import ngram_vectors
from curation.text.ngram_vectors import OF_WORDS, Counts, Grams, counted, products
from curation.training.examples import Floats, Task
from curation.training.held_out import figure_name
from curation.training.linear import Linear, best_head, head_scores
from curation.training.sparse import Sparse

LEAST_TEXTS = 2
"""Texts that an n-gram must be in to count: what stands in one alone says nothing of others, and is most of them."""
MOST = 1 << 18
"""N-grams of a model, those in most texts first: 3 MB."""


@dataclass(frozen=True)
class Vocabulary:
    """The n-grams that count."""

    keys: NDArray[np.uint32]
    """Ascending."""
    idf: NDArray[np.float32]
    """ln((1 + n) / (1 + df)) + 1 with n texts and df of them with the n-gram, as scikit-learn has it."""


def vocabulary(counts: Counts) -> Vocabulary:
    """The n-grams of texts that are in `LEAST_TEXTS` of them or more; where all are rarer, all."""
    keys, texts = np.unique(counts.keys, return_counts=True)
    frequent = texts >= min(LEAST_TEXTS, int(texts.max(initial=1)))
    keys, texts = keys[frequent], texts[frequent]
    order = np.sort(np.lexsort((keys, -texts))[:MOST])
    return Vocabulary(keys[order], (np.log(len(counts.documents) / (1 + texts[order])) + 1).astype(np.float32))


def rows(counts: Counts, words: Vocabulary, sublinear: bool) -> Sparse:
    """Texts as rows [n, n-grams that count]: counts times idf, characters and words each of length 1."""
    columns = np.searchsorted(words.keys, counts.keys)
    counting = np.append(words.keys, np.uint32(0))[columns] == counts.keys
    counting &= columns < len(words.keys)
    columns, times = columns[counting], counts.counts[counting].astype(np.float64)
    texts = len(counts.documents) - 1
    owner = np.repeat(np.arange(texts), np.diff(counts.documents))[counting]
    values = (1 + np.log(times) if sublinear else times) * words.idf[columns]
    vector = 2 * owner + (words.keys[columns] >= OF_WORDS)
    lengths = np.sqrt(np.bincount(vector, weights=values * values, minlength=2 * texts))
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(owner, minlength=texts))])
    return Sparse(bounds, columns.astype(np.int32), values / lengths[vector], len(words.keys))


@dataclass(frozen=True)
class Ngrams:
    """A model of n-grams: what `curation.scorers.ngram` runs."""

    grams: Grams
    sublinear: bool
    words: Vocabulary
    linear: Linear

    def scores(self, text: pa.LargeStringArray) -> Floats:
        """NaN for a text with no n-gram that counts."""
        model = ngram_vectors.model(self.words.keys, self.words.idf, self.linear.weight.astype(np.float32))
        product = products(text, self.grams, model, self.sublinear)
        return head_scores(product, self.linear.bias, self.linear.values, self.linear.task)

    def tensors(self) -> dict[str, NDArray[Any]]:
        weight = self.linear.weight.astype(np.float32)
        return {**self.linear.tensors(), "weight": weight, "keys": self.words.keys, "idf": self.words.idf}

    def settings(self) -> dict[str, Any]:
        return {"ngrams": self.grams._asdict(), "sublinear": self.sublinear}


def best_ngrams(
    text: pa.LargeStringArray,
    y: Floats,
    groups: NDArray[np.int64],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> tuple[Ngrams, dict[str, Any], Floats]:
    """The model whose penalty and weight of a count do best on examples that it did not see, learned from all; how it
    was made; and scores [n] of the examples by models that did not see them.

    idf is taken from all examples: it knows nothing of labels.
    """
    grams = Grams()
    counts = counted(text, grams)
    words = vocabulary(counts)
    tried = []
    for sublinear in (True, False):
        say(f"n-grams with {'1 + ln count' if sublinear else 'count'}")
        tried.append(best_head(rows(counts, words, sublinear), y, groups, task, cut, say))
    sublinear = tried[0][1]["figure"] >= tried[1][1]["figure"]
    linear, chosen, unseen = tried[0 if sublinear else 1]
    rounded = replace(linear, weight=linear.weight.astype(np.float32).astype(np.float64))  # as it is stored
    weight = "1 + ln c" if sublinear else "c"
    say(f"a count c weighs {weight}: {figure_name(task)} {chosen['figure']:.3f}, the best of both")
    chosen = {**chosen, "a count c weighs": weight, "n-grams": len(words.keys)}
    return Ngrams(grams, sublinear, words, rounded), chosen, unseen
