"""A small scorer learned from a column of labels, and how well it does on examples that it has not seen.

What FineWeb-Edu did with an LLM's ratings (arXiv 2406.17557): a frozen encoder, a head, a stated figure. The examples
are split by clusters of near-duplicates; strength of the penalty and other choices are made inside the training part;
every figure on the card comes from the part that was held out, beside what length alone achieves there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.duplicates.groups import clusters, split
from curation.training import fasttext, logistic, ridge
from curation.training.examples import MOST_LEVELS, Examples, Task
from curation.training.held_out import figure_name, figures_on, main_figure
from schemas.errors import Refusal

Method = Literal["head", "fasttext"]
PENALTIES = (0.03, 0.3, 3.0, 30.0)
"""Of a head, from which the one that does best on examples that it did not see is taken. Where that is the first or
last, the next beyond it is tried, ten times lower or higher, as far as EXTREMES."""
EXTREMES = (3e-5, 3e4)
FOLDS = 5
"""Parts of the examples, by cluster, of which each is scored by a head that was learned from the others."""
SLIGHT = 1e-2
"""Penalty of a calibration, on standardised logits: it only keeps a perfect separation finite."""
WAYS = (
    fasttext.Options(lr=0.5, epochs=25),
    fasttext.Options(lr=0.3, epochs=10, word_ngrams=3),
    fasttext.Options(lr=0.1, epochs=5),
)
"""The same for fastText."""
LEAST = 20
"""Examples in each part, without which a figure says nothing."""

Floats = NDArray[np.float64]
Embed = Callable[[pa.LargeStringArray], Floats]
"""From texts to vectors [n, dim]."""


@dataclass(frozen=True)
class Trained:
    """What was learned, and the facts of its card."""

    tensors: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    """What a scorer needs to know beside the tensors, plain JSON."""
    card: dict[str, Any] = field(default_factory=dict)


def train(
    examples: Examples,
    *,
    task: Task,
    method: Method = "head",
    embed: Embed | None = None,
    cut: float | None = None,
    test: Examples | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Learn from `examples`; `embed` is what a head stands on. Without `test`, about `test_share` of the clusters is
    held out; with it, what is near to a training example there does not count. `cut`: the label from which an example
    is a good one, for F1 and AUC of grades and numbers (default: above the median).

    Raises ValueError: too few examples, one label only, or pairs for fastText.
    """
    if method == "fasttext" and task == "pairwise":
        raise Refusal("fastText does not learn from pairs", "use the method head")
    say("finding near-duplicates among the examples")
    learned_from, held, groups, leaked = _parts(examples, test, test_share, seed)
    if min(len(learned_from.target), len(held.target)) < LEAST:
        raise Refusal(
            f"{len(learned_from.target)} examples to learn from and {len(held.target)} to test on: each needs {LEAST}",
            "give more examples, or another share to test on",
        )
    if cut is None:
        cut = 0.5 if task in ("binary", "pairwise") else _middle(learned_from.target)
    model: _Linear | _Bag
    if method == "head":
        assert embed is not None
        say(f"embedding {len(learned_from.target) + len(held.target):,} examples")
        X, H = _features(learned_from, embed), _features(held, embed)
        model, chosen, unseen = _best_head(X, learned_from.target, groups[: len(X)], task, cut, say)
    else:
        X, H = learned_from.text, held.text
        inner = split(X, groups[: len(X)], test_share, seed + 1)
        model, chosen, unseen = _best_bag(X, learned_from.target, inner, task, cut, say)
    seen = bool(np.isnan(unseen).all())
    if seen:
        unseen = model.scores(X)
    keep_from = _advised(unseen, learned_from.target >= cut)
    scores = model.scores(H)
    card = {
        "task": task,
        "method": method,
        "examples": {"learned_from": len(learned_from.target), "held_out": len(held.target)},
        "clusters_held_out": len(np.unique(groups[len(learned_from.target) :])),
        "near_duplicates_of_training_examples_left_out": leaked,
        "chosen": chosen,
        "cut": cut,
        "keep_from": keep_from,
        "keep_from_scores_of_seen_examples": seen,
        **figures_on(scores, learned_from, held, groups[len(learned_from.target) :], task, cut, keep_from, say),
    }
    return Trained(model.tensors(), {"task": task, "cut": cut, "keep_from": keep_from}, card)


def _best_head(
    X: Floats, y: Floats, groups: NDArray[np.int64], task: Task, cut: float, say: Callable[[str], None]
) -> tuple[_Linear, dict[str, Any], Floats]:
    """The head whose penalty does best on examples that it did not see, learned from all and calibrated; how it was
    made; and scores [n] of the examples by such heads. `groups` [n]: of near-duplicates, which are seen together."""
    _, cluster = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(cluster.max()) + 1)[cluster] % FOLDS
    unseen: dict[float, Floats] = {}
    figures: dict[float, float] = {}

    def attempt(l2: float) -> None:
        logits = unseen[l2] = np.full(len(y), np.nan)
        for part in range(FOLDS):
            out = fold == part
            if task != "regression" and len(np.unique(y[~out])) < len(np.unique(y)):
                continue  # a label that only this part has cannot be learned from the others
            head = _Linear.fit(X[~out], y[~out], task, l2)
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
    chosen = {"l2": best(), "tried": sorted(figures), "at_the_end": at_the_end()}
    if chosen["at_the_end"]:
        say(f"penalty {best():g} is the best and the last that is tried: the labels may say little of these texts")
    model, scores = _Linear.fit(X, y, task, best()).calibrated(unseen[best()], y)
    return model, chosen, scores


def _best_bag(
    X: pa.LargeStringArray,
    y: Floats,
    inner: NDArray[np.bool_],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> tuple[_Bag, dict[str, Any], Floats]:
    """The same of fastText, whose probabilities are its own: scores of `inner` alone, NaN for the rest."""
    figures, scores = [], []
    for number, way in enumerate(WAYS, 1):
        scores.append(_Bag.fit(X.filter(pa.array(~inner)), y[~inner], task, way).scores(X.filter(pa.array(inner))))
        figures.append(main_figure(scores[-1], y[inner], task, cut))
        named = ", ".join(f"{key} {value}" for key, value in _Bag.describe(way).items())
        say(f"way {number} of {len(WAYS)} ({named}): {figure_name(task)} {figures[-1]:.3f} inside the training part")
    best = int(np.argmax(figures))
    unseen = np.full(len(y), np.nan)
    unseen[inner] = scores[best]
    return _Bag.fit(X, y, task, WAYS[best]), _Bag.describe(WAYS[best]), unseen


def _advised(scores: Floats, good: NDArray[np.bool_]) -> float:
    """The score from which keeping examples has the highest F1, of scores [n] by models that did not see them, NaN for
    none: rounded down to four digits, so that what is printed keeps what was counted."""
    scored = ~np.isnan(scores)
    scores, good = scores[scored], good[scored]
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(good[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores all are kept, or none
    f1 = np.where(last, 2 * right / (np.arange(1, len(order) + 1) + max(int(good.sum()), 1)), -1.0)
    value = float(scores[order][int(np.argmax(f1))])
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 3) if value else 1.0
    return float(f"{np.floor(value / step) * step:.6g}")


def _parts(
    examples: Examples, test: Examples | None, share: float, seed: int
) -> tuple[Examples, Examples, NDArray[np.int64], int]:
    """Training and test part, the cluster of each example in that order, and how many test examples were left out."""
    whole = examples if test is None else _joined(examples, test)
    groups = _groups(whole)
    if test is None:
        held = split(whole.text, groups, share, seed)
        order = np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)])
        assert not np.isin(groups[held], groups[~held]).any()
        return whole.take(np.flatnonzero(~held)), whole.take(np.flatnonzero(held)), groups[order], 0
    first = np.arange(len(whole.target)) < len(examples.target)
    near = np.isin(groups, groups[first]) & ~first
    kept = np.flatnonzero(~first & ~near)
    return examples, whole.take(kept), np.concatenate([groups[first], groups[kept]]), int(near.sum())


def _groups(examples: Examples) -> NDArray[np.int64]:
    n = len(examples.text)
    if examples.other is None:
        return clusters(examples.text)
    pairs = np.stack([np.arange(n), n + np.arange(n)], axis=1)
    return clusters(pa.concat_arrays([examples.text, examples.other]), pairs)[:n]


def _joined(one: Examples, other: Examples) -> Examples:
    others = None if one.other is None or other.other is None else pa.concat_arrays([one.other, other.other])
    annotators = None
    if one.annotators is not None and other.annotators is not None:
        annotators = np.concatenate([one.annotators, other.annotators])
    return Examples(
        pa.concat_arrays([one.text, other.text]), np.concatenate([one.target, other.target]), others, annotators
    )


def _features(examples: Examples, embed: Embed) -> Floats:
    X = embed(examples.text)
    return X if examples.other is None else X - embed(examples.other)


@dataclass(frozen=True)
class _Linear:
    """A head on vectors: what `curation.scorers.embedding_head` runs."""

    task: Task
    weight: Floats
    bias: Floats
    values: Floats
    """Of grades, what each is worth, ascending."""

    @classmethod
    def fit(cls, X: Floats, y: Floats, task: Task, l2: float) -> _Linear:
        if task == "ordinal":
            values, levels = np.unique(y, return_inverse=True)
            weight, bias = logistic.fit_ordinal(X, levels, l2)
            return cls(task, weight, bias, values)
        if task == "regression":
            head = ridge.fit(X, y, l2)
        else:
            head = logistic.fit(X, y, l2, balanced=False, bias=task == "binary")
        return cls(task, head.weight, np.array([head.bias]), np.zeros(0))

    def calibrated(self, logits: Floats, y: Floats) -> tuple[_Linear, Floats]:
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
        line = _Linear.fit((z / spread)[:, None], target, self.task, SLIGHT)
        slope = float(line.weight[0]) / spread
        if slope <= 0 or len(line.values) != len(self.values):
            bias = self.bias if self.task == "ordinal" else np.zeros(1)
            return self, head_scores(logits, bias, self.values, self.task)
        bias = line.bias if self.task == "ordinal" else slope * self.bias + line.bias
        model = _Linear(self.task, slope * self.weight, bias, self.values)
        return model, head_scores(slope * logits, line.bias, self.values, self.task)

    def scores(self, X: Floats) -> Floats:
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


@dataclass(frozen=True)
class _Bag:
    """A fastText classifier of grades or bins: what `curation.scorers.fasttext` runs."""

    learned: dict[str, NDArray[Any]]
    values: Floats

    @classmethod
    def fit(cls, text: pa.LargeStringArray, y: Floats, task: Task, options: fasttext.Options) -> _Bag:
        values, levels = np.unique(y, return_inverse=True)
        if task == "regression" and len(values) > MOST_LEVELS:
            edges = np.unique(np.quantile(y, np.linspace(0, 1, MOST_LEVELS // 2 + 1)[1:-1]))
            _, levels = np.unique(np.searchsorted(edges, y, side="right"), return_inverse=True)
            values = np.array([y[levels == level].mean() for level in range(levels.max() + 1)])
        names = [f"{value:g}" for value in values] if task == "binary" else [f"level{k}" for k in range(len(values))]
        return cls(fasttext.train(text, levels.astype(np.int32), names, options), values)

    @staticmethod
    def describe(way: fasttext.Options) -> dict[str, Any]:
        return {"lr": way.lr, "epochs": way.epochs, "word_ngrams": way.word_ngrams}

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


def _middle(target: Floats) -> float:
    """The lowest label above the median, or the highest where the median is that."""
    above = target[target > np.median(target)]
    return float(above.min()) if len(above) else float(target.max())
