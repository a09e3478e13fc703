"""A small scorer learned from a column of labels, and how well it does on examples that it has not seen.

What FineWeb-Edu did with an LLM's ratings (arXiv 2406.17557): a frozen encoder, a head, a stated figure. The examples
are split by clusters of near-duplicates; strength of the penalty and other choices are made inside the training part;
every figure on the card comes from the part that was held out, beside what length alone achieves there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.duplicates.groups import clusters, split
from curation.statistics import metrics
from curation.statistics.metrics import Interval, bootstrap
from curation.training import fasttext, logistic, ridge
from schemas.errors import Refusal

Task = Literal["binary", "ordinal", "regression", "pairwise"]
Method = Literal["head", "fasttext"]
PENALTIES = (0.03, 0.3, 3.0, 30.0)
"""Of a head, from which the one that does best inside the training part is taken."""
WAYS = (
    fasttext.Options(lr=0.5, epochs=25),
    fasttext.Options(lr=0.3, epochs=10, word_ngrams=3),
    fasttext.Options(lr=0.1, epochs=5),
)
"""The same for fastText."""
MOST_LEVELS = 10
"""Distinct whole numbers up to which labels are grades; fastText sorts other numbers into half as many bins."""
LEAST = 20
"""Examples in each part, without which a figure says nothing."""

Floats = NDArray[np.float64]
Embed = Callable[[pa.LargeStringArray], Floats]
"""From texts to vectors [n, dim]."""


@dataclass(frozen=True)
class Examples:
    """Labelled texts. Of pairs, `target` is the probability that the first is the better one."""

    text: pa.LargeStringArray
    target: Floats
    other: pa.LargeStringArray | None = None
    annotators: Floats | None = None
    """[n, annotators]: their own labels, for the ceiling; NaN where one gave none."""

    def take(self, rows: NDArray[np.int64]) -> Examples:
        indices = pa.array(rows)
        return Examples(
            self.text.take(indices),
            self.target[rows],
            None if self.other is None else self.other.take(indices),
            None if self.annotators is None else self.annotators[rows],
        )


@dataclass(frozen=True)
class Trained:
    """What was learned, and the facts of its card."""

    tensors: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    """What a scorer needs to know beside the tensors, plain JSON."""
    card: dict[str, Any] = field(default_factory=dict)


def task_of(target: Floats, pairs: bool = False) -> Task:
    """What kind of labels these are: pairs, two values (0 and 1), grades (a few whole numbers), or numbers."""
    values = np.unique(target)
    if pairs:
        return "pairwise"
    if set(values.tolist()) <= {0.0, 1.0}:
        return "binary"
    return "ordinal" if len(values) <= MOST_LEVELS and (values == np.round(values)).all() else "regression"


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
    inner = split(learned_from.text, groups[: len(learned_from.target)], test_share, seed + 1)
    if method == "head":
        assert embed is not None
        say(f"embedding {len(examples.target) + (0 if test is None else len(test.target)):,} examples")
        X, H = _features(learned_from, embed), _features(held, embed)
        model, chosen = _best(_Linear, PENALTIES, X, learned_from.target, inner, task, cut, say)
    else:
        X, H = learned_from.text, held.text
        model, chosen = _best(_Bag, WAYS, X, learned_from.target, inner, task, cut, say)
    scores = model.scores(H)
    card = {
        "task": task,
        "method": method,
        "examples": {"learned_from": len(learned_from.target), "held_out": len(held.target)},
        "clusters_held_out": len(np.unique(groups[len(learned_from.target) :])),
        "near_duplicates_of_training_examples_left_out": leaked,
        "chosen": chosen,
        "cut": cut,
        **_report(scores, learned_from, held, groups[len(learned_from.target) :], task, cut, say),
    }
    return Trained(model.tensors(), {"task": task, "cut": cut}, card)


def _best(
    kind: type[_Linear] | type[_Bag],
    ways: Sequence[Any],
    X: Any,
    y: Floats,
    inner: NDArray[np.bool_],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> tuple[_Linear | _Bag, dict[str, Any]]:
    """The model of that way of learning which does best on `inner` when learned from the rest, learned from all."""
    figures = []
    for way in ways:
        say(f"trying {kind.describe(way)}")
        model = kind.fit(_rows(X, ~inner), y[~inner], task, way)
        figures.append(_figure(model.scores(_rows(X, inner)), y[inner], task, cut))
    best = ways[int(np.argmax(figures))]
    return kind.fit(X, y, task, best), kind.describe(best)


def _rows(X: Any, chosen: NDArray[np.bool_]) -> Any:
    """Some rows of vectors or of texts."""
    return X.filter(pa.array(chosen)) if isinstance(X, pa.Array) else X[chosen]


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

    @staticmethod
    def describe(way: float) -> dict[str, Any]:
        return {"l2": way}

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


def _figure(scores: Floats, y: Floats, task: Task, cut: float) -> float:
    """What a way of learning is chosen by: rank correlation, of two classes and of pairs the area under the curve."""
    scored = ~np.isnan(scores)
    if task in ("ordinal", "regression"):
        return metrics.spearman(scores[scored], y[scored])
    good = y[scored] >= cut
    return metrics.auc(scores[scored], good) if 0 < good.sum() < len(good) else 0.0


def _report(
    scores: Floats,
    learned_from: Examples,
    held: Examples,
    groups: NDArray[np.int64],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Figures on the held-out examples, each beside what the number of words achieves."""
    say("measuring on the held-out examples")
    scores = np.where(np.isnan(scores), np.nanmean(scores), scores)  # without a known word: as good as any
    y, good = held.target, held.target >= cut
    length = _words(held)
    turn = -1.0 if metrics.spearman(_words(learned_from), learned_from.target) < 0 else 1.0
    named: dict[str, tuple[Callable[[NDArray[np.int64]], float], Callable[[NDArray[np.int64]], float] | None]] = {}
    if task in ("ordinal", "regression"):
        named["spearman"] = (
            lambda rows: metrics.spearman(scores[rows], y[rows]),
            lambda rows: metrics.spearman(turn * length[rows], y[rows]),
        )
    if 0 < good.sum() < len(good):
        named["accuracy" if task == "pairwise" else "auc"] = (
            lambda rows: _auc(scores[rows], good[rows]),
            lambda rows: _auc(turn * length[rows], good[rows]),
        )
        if task == "pairwise":
            named["accuracy"] = (
                lambda rows: float(np.mean((scores[rows] >= cut) == good[rows])),
                lambda rows: float(np.mean((turn * length[rows] >= 0) == good[rows])),
            )
        else:
            named["f1"] = (lambda rows: metrics.f1(scores[rows] >= cut, good[rows]), None)
    if task in ("binary", "pairwise"):
        named["calibration_error"] = (lambda rows: metrics.calibration_error(scores[rows], y[rows]), None)
    if task in ("ordinal", "regression"):
        named["mean_absolute_error"] = (lambda rows: float(np.abs(scores[rows] - y[rows]).mean()), None)
    figures: dict[str, Any] = {}
    for name, (ours, baseline) in named.items():
        figures[name] = _plain(bootstrap(ours, groups))
        if baseline is not None:
            figures[f"{name}_of_length"] = _plain(bootstrap(baseline, groups))
            gain: Callable[[NDArray[np.int64]], float] = lambda rows, a=ours, b=baseline: a(rows) - b(rows)  # type: ignore[misc]  # noqa: E731
            figures[f"{name}_gain_over_length"] = _plain(bootstrap(gain, groups))
    report = {"held_out": figures, "share_of_good_examples": float(good.mean())}
    if held.annotators is not None:
        report["ceiling"] = {"annotators_with_the_others": agreement(held.annotators)}
    return report


def agreement(labels: Floats) -> float:
    """Mean rank correlation of each annotator, [n, annotators], with the mean of the others: what a scorer may reach.

    NaN is no label; rows that the annotator or all others left out do not count.
    """
    correlations = []
    for rater in range(labels.shape[1]):
        others = np.delete(labels, rater, axis=1)
        there = ~np.isnan(labels[:, rater]) & ~np.isnan(others).all(axis=1)
        if there.sum() > 1:
            correlations.append(metrics.spearman(labels[there, rater], np.nanmean(others[there], axis=1)))
    return float(np.mean(correlations)) if correlations else float("nan")


def _words(examples: Examples) -> Floats:
    """Words at white space; of pairs, how many more the first has."""

    def count(text: pa.LargeStringArray) -> Floats:
        words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text)))
        return np.asarray(words.to_numpy(zero_copy_only=False), dtype=np.float64)

    return count(examples.text) if examples.other is None else count(examples.text) - count(examples.other)


def _auc(scores: Floats, good: NDArray[np.bool_]) -> float:
    return metrics.auc(scores, good) if 0 < good.sum() < len(good) else float("nan")


def _middle(target: Floats) -> float:
    """The lowest label above the median, or the highest where the median is that."""
    above = target[target > np.median(target)]
    return float(above.min()) if len(above) else float(target.max())


def _plain(found: Interval) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in found._asdict().items()}
