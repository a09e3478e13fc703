"""fastText classifiers of grades or bins, and the way of training one that does best inside the training part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.training import fasttext
from curation.training.examples import MOST_LEVELS, Floats, Task
from curation.training.held_out import figure_name, main_figure

WAYS = (
    fasttext.Options(lr=0.5, epochs=25),
    fasttext.Options(lr=0.3, epochs=10, word_ngrams=3),
    fasttext.Options(lr=0.1, epochs=5),
    # Words that are new, or spelt so that nobody finds them, still have their characters: AUC .90 in place of .85 on
    # 1,492 comments of which a sixth is toxic.
    fasttext.Options(lr=0.5, epochs=25, min_chars=3, max_chars=5),
)
"""Of which the one that does best on a part of the examples that it did not see is taken, the first where that may be
luck."""
LUCK = 0.5
"""About the standard error of a figure on one example; of n, this over the root of n."""


def best_bag(
    X: pa.LargeStringArray,
    y: Floats,
    inner: NDArray[np.bool_],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> tuple[Bag, dict[str, Any], Floats]:
    """The same of fastText, whose probabilities are its own: scores of `inner` alone, NaN for the rest."""
    figures, scores = [], []
    for number, way in enumerate(WAYS, 1):
        scores.append(Bag.fit(X.filter(pa.array(~inner)), y[~inner], task, way).scores(X.filter(pa.array(inner))))
        figures.append(main_figure(scores[-1], y[inner], task, cut))
        named = ", ".join(f"{key} {value}" for key, value in Bag.describe(way).items())
        say(f"way {number} of {len(WAYS)} ({named}): {figure_name(task)} {figures[-1]:.3f} inside the training part")
    best = int(np.argmax(figures))
    if figures[best] - figures[0] <= LUCK / np.sqrt(max(int(inner.sum()), 1)):
        best = 0
    unseen = np.full(len(y), np.nan)
    unseen[inner] = scores[best]
    return Bag.fit(X, y, task, WAYS[best]), Bag.describe(WAYS[best]), unseen


@dataclass(frozen=True)
class Bag:
    """A fastText classifier of grades or bins: what `curation.scorers.fasttext` runs."""

    learned: dict[str, NDArray[Any]]
    values: Floats

    @classmethod
    def fit(cls, text: pa.LargeStringArray, y: Floats, task: Task, options: fasttext.Options) -> Bag:
        values, levels = np.unique(y, return_inverse=True)
        if task == "regression" and len(values) > MOST_LEVELS:
            edges = np.unique(np.quantile(y, np.linspace(0, 1, MOST_LEVELS // 2 + 1)[1:-1]))
            _, levels = np.unique(np.searchsorted(edges, y, side="right"), return_inverse=True)
            values = np.array([y[levels == level].mean() for level in range(levels.max() + 1)])
        names = [f"{value:g}" for value in values] if task == "binary" else [f"level{k}" for k in range(len(values))]
        return cls(fasttext.train(text, levels.astype(np.int32), names, options), values)

    @staticmethod
    def describe(way: fasttext.Options) -> dict[str, Any]:
        characters = {"min_chars": way.min_chars, "max_chars": way.max_chars} if way.max_chars else {}
        return {"lr": way.lr, "epochs": way.epochs, "word_ngrams": way.word_ngrams, **characters}

    @staticmethod
    def way(described: dict[str, Any]) -> fasttext.Options:
        """Of which these are the words of `describe`."""
        return fasttext.Options(**described)

    def scores(self, X: pa.LargeStringArray) -> Floats:
        model = fasttext.opened(self.learned)
        found = model.predict(X, len(model.labels))
        return expected(found.labels, found.probs, self.values)

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {**self.learned, "values": self.values}


def expected(labels: NDArray[np.int32], probs: NDArray[np.float32], values: Floats) -> Floats:
    """Mean value of the labels [n, k], weighted by their probabilities; NaN where there is none."""
    given = labels >= 0
    weight = np.where(given, probs, 0).astype(np.float64)
    total = weight.sum(axis=1)
    mean = (weight * np.where(given, values[np.maximum(labels, 0)], 0)).sum(axis=1) / np.maximum(total, 1e-300)
    return np.where(total > 0, mean, np.nan)
