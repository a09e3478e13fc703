"""Linear heads on vectors or n-grams: the penalty that does best on examples that a head did not see, and its scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.training import logistic, ridge
from curation.training.examples import Floats, Task
from curation.training.held_out import figure_name, main_figure
from curation.training.logistic import Matrix

PENALTIES = (0.03, 0.3, 3.0, 30.0)
"""Of a head, from which the one that does best on examples that it did not see is taken. Where that is the first or
last, the next beyond it is tried, ten times lower or higher, as far as EXTREMES."""
EXTREMES = (3e-5, 3e4)
FOLDS = 5
"""Parts of the examples, by cluster, of which each is scored by a head that was learned from the others."""
SLIGHT = 1e-2
"""Penalty of a calibration, on standardised logits: it only keeps a perfect separation finite."""


def folds(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of FOLDS parts each example is in, int64 [n], near-duplicates in the same."""
    _, cluster = np.unique(groups, return_inverse=True)
    return np.asarray(np.random.default_rng(0).permutation(int(cluster.max()) + 1)[cluster] % FOLDS)


def learnable(y: Floats, out: NDArray[np.bool_], task: Task) -> bool:
    """Whether what is not `out` has every label: one that only a part has cannot be learned from the others."""
    return task == "regression" or len(np.unique(y[~out])) == len(np.unique(y))


def best_head(
    X: Matrix, y: Floats, groups: NDArray[np.int64], task: Task, cut: float, say: Callable[[str], None]
) -> tuple[Linear, dict[str, Any], Floats]:
    """The head whose penalty does best on examples that it did not see, learned from all and calibrated; how it was
    made; and scores [n] of the examples by such heads. `groups` [n]: of near-duplicates, which are seen together."""
    fold = folds(groups)
    unseen: dict[float, Floats] = {}
    figures: dict[float, float] = {}

    def attempt(l2: float) -> None:
        logits = unseen[l2] = np.full(len(y), np.nan)
        for part in range(FOLDS):
            out = fold == part
            if not learnable(y, out, task):
                continue
            head = Linear.fit(X[~out], y[~out], task, l2)
            logits[out] = logistic.times(X[out], head.weight) + (0 if task == "ordinal" else head.bias[0])
        figures[l2] = main_figure(logistic.sigmoid(logits) if task == "pairwise" else logits, y, task, cut)
        say(f"penalty {l2:g}: {figure_name(task)} {figures[l2]:.3f} on examples that it did not see")

    def best() -> float:
        return max(sorted(figures), key=lambda l2: figures[l2])

    def at_the_end() -> bool:
        """Whether a step beyond might do better still; a tie with what lies within says that it would not."""
        others = [figure for l2, figure in figures.items() if l2 != best()]
        return best() in (min(figures), max(figures)) and figures[best()] > max(others)

    for l2 in PENALTIES:
        attempt(l2)
    while at_the_end() and EXTREMES[0] < best() < EXTREMES[1]:
        attempt(float(f"{best() / 10 if best() == min(figures) else best() * 10:g}"))
    chosen = {"l2": best(), "tried": sorted(figures), "at_the_end": at_the_end(), "figure": figures[best()]}
    if chosen["at_the_end"]:
        say(f"penalty {best():g} is the best and the last that is tried: the labels may say little of these texts")
    model, scores = Linear.fit(X, y, task, best()).calibrated(unseen[best()], y)
    return model, chosen, scores


@dataclass(frozen=True)
class Linear:
    """A head on vectors: what `curation.scorers.embedding_head` runs."""

    task: Task
    weight: Floats
    bias: Floats
    values: Floats
    """Of grades, what each is worth, ascending."""

    @classmethod
    def fit(cls, X: Matrix, y: Floats, task: Task, l2: float) -> Linear:
        if task == "ordinal":
            values, levels = np.unique(y, return_inverse=True)
            weight, bias = logistic.fit_ordinal(X, levels, l2)
            return cls(task, weight, bias, values)
        if task == "regression":
            head = ridge.fit(X, y, l2)
        else:
            head = logistic.fit(X, y, l2, balanced=False, bias=task == "binary")
        return cls(task, head.weight, np.array([head.bias]), np.zeros(0))

    def calibrated(self, logits: Floats, y: Floats) -> tuple[Linear, Floats]:
        """The same order of texts on the scale of the labels, and the scores that `logits` then are.

        `logits` [n] are w·x + b (of grades w·x) of the examples by heads that did not see them, NaN for none. A line
        through them is fitted as the head itself was (Platt 1999): a penalty that is chosen by ranks shrinks
        probabilities towards the mean, and so would any threshold on them mean little. Where the labels are not to be
        told from the logits, so that the line does not rise, the head stays as it is.
        """
        predicted = ~np.isnan(logits)
        if not predicted.any():
            return self, logits
        z, target = logits[predicted], y[predicted]
        spread = float(z.std()) or 1.0
        line = Linear.fit((z / spread)[:, None], target, self.task, SLIGHT)
        slope = float(line.weight[0]) / spread
        if slope <= 0 or len(line.values) != len(self.values):
            bias = self.bias if self.task == "ordinal" else np.zeros(1)
            return self, head_scores(logits, bias, self.values, self.task)
        bias = line.bias if self.task == "ordinal" else slope * self.bias + line.bias
        model = Linear(self.task, slope * self.weight, bias, self.values)
        return model, head_scores(slope * logits, line.bias, self.values, self.task)

    def scores(self, X: Matrix) -> Floats:
        return head_scores(logistic.times(X, self.weight), self.bias, self.values, self.task)

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {"weight": self.weight, "bias": self.bias, "values": self.values}


def head_scores(product: Floats, bias: Floats, values: Floats, task: Task) -> Floats:
    """From w·x, float64 [n], to what a head says: a probability, an expected grade, a number, or a preference.

    Expected grade: the lowest plus each step times the chance of being beyond it.
    """
    if task == "ordinal":
        steps = np.diff(values)
        beyond = logistic.sigmoid(product[:, None] + bias)
        return np.asarray(values[0] + (beyond * steps).sum(axis=1))
    logits = product + bias[0]
    return logistic.sigmoid(logits) if task in ("binary", "pairwise") else logits
