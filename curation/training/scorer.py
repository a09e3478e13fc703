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
from curation.statistics.metrics import bootstrap
from curation.training.bag import Bag, best_bag
from curation.training.cut import Wish, cut_for
from curation.training.examples import Examples, Floats, Task
from curation.training.held_out import figure_name, figures_on, main_figure, words_of
from curation.training.linear import Linear, best_head, folds, learnable
from curation.training.ngram import Ngrams, best_ngrams
from curation.training.stack import LENGTH, LOG, LOG_SQUARED, LOGIT, Group, Stack, best_stack
from schemas.errors import Refusal

Family = Literal["ngram", "head", "fasttext", "stack"]
Method = Family | Literal["auto"]
LEAST = 20
"""Examples in each part, without which a figure says nothing."""

Embed = Callable[[pa.LargeStringArray], Floats]
"""From texts to vectors [n, dim]."""
Measure = Callable[[pa.LargeStringArray], dict[str, tuple[list[tuple[str, str]], Floats]]]
"""From texts to what scorers measure: of each group member and name of its columns, and values [n, columns], NaN for
none."""
LEARNED: tuple[Family, ...] = ("ngram", "head", "fasttext")
"""Members that a stack learns itself."""


@dataclass(frozen=True)
class Trained:
    """What was learned, and the facts of its card."""

    tensors: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    """What a scorer needs to know beside the tensors, plain JSON."""
    family: Family
    card: dict[str, Any] = field(default_factory=dict)
    members: dict[Family, Trained] = field(default_factory=dict)
    """Of a stack, what was learned with it."""


def train(
    examples: Examples,
    *,
    task: Task,
    method: Method = "head",
    embed: Embed | None = None,
    measure: Measure | None = None,
    cut: float | None = None,
    wish: Wish | None = None,
    test: Examples | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Learn from `examples`; `embed` is what a head stands on. Without `test`, about `test_share` of the clusters is
    held out; with it, what is near to a training example there does not count. `cut`: the label from which an example
    is a good one, for F1 and AUC of grades and numbers (default: above the median). `wish`: what the advised score is
    to reach.

    `method` auto learns all families, the head where there is `embed`, and takes the one that does best on training
    examples that it did not see.

    Raises ValueError: too few examples, one label only, or pairs for another family than a head.
    """
    if method not in ("head", "auto") and task == "pairwise":
        name = {"fasttext": "fastText does", "ngram": "models of n-grams do"}.get(method, "a stack does")
        raise Refusal(f"{name} not learn from pairs", "use the method head")
    if method == "stack" and task == "ordinal":
        task = "regression"  # a sum of columns, each with its share
    say("finding near-duplicates among the examples")
    learned_from, held, groups, leaked = _parts(examples, test, test_share, seed)
    if min(len(learned_from.target), len(held.target)) < LEAST:
        raise Refusal(
            f"{len(learned_from.target)} examples to learn from and {len(held.target)} to test on: each needs {LEAST}",
            "give more examples, or another share to test on",
        )
    if cut is None:
        cut = 0.5 if task in ("binary", "pairwise") else _middle(learned_from.target)
    training = Training(learned_from, held, groups, task, cut, embed, measure, test_share, seed, say)
    fitted, contest = _contest(training) if method == "auto" else (training.learn(method), {})
    wish = wish or Wish()
    keep_from = cut_for(fitted.unseen, learned_from.target >= cut, wish)
    card = {
        "task": task,
        "method": fitted.family,
        "examples": {"learned_from": len(learned_from.target), "held_out": len(held.target)},
        "clusters_held_out": len(np.unique(groups[len(learned_from.target) :])),
        "near_duplicates_of_training_examples_left_out": leaked,
        "chosen": fitted.chosen,
        **contest,
        "cut": cut,
        "keep_from": keep_from,
        "keep_from_is": str(wish),
        "keep_from_scores_of_seen_examples": fitted.seen,
        **figures_on(fitted.held, learned_from, held, groups[len(learned_from.target) :], task, cut, keep_from, say),
    }
    settings = {"task": task, "cut": cut, "keep_from": keep_from}
    parts = {
        part.family: Trained(part.model.tensors(), {"task": task, "cut": cut, **_settings(part)}, part.family)
        for part in fitted.members
    }
    return Trained(fitted.model.tensors(), {**settings, **_settings(fitted)}, fitted.family, card, parts)


@dataclass(frozen=True)
class Learned:
    """A model of one family, and how it scores."""

    family: Family
    model: Linear | Bag | Ngrams | Stack
    chosen: dict[str, Any]
    unseen: Floats
    """Scores [n] of the training examples by models that did not see them, NaN for none; where `seen`, by it."""
    seen: bool
    held: Floats
    """Scores of the held-out examples."""
    members: tuple[Learned, ...] = ()


def _settings(fitted: Learned) -> dict[str, Any]:
    return fitted.model.settings() if isinstance(fitted.model, Ngrams | Stack) else {}


@dataclass(frozen=True)
class Training:
    """What every family learns from."""

    learned_from: Examples
    held_out: Examples
    groups: NDArray[np.int64]
    """Clusters of near-duplicates, of the training examples first."""
    task: Task
    cut: float
    embed: Embed | None
    measure: Measure | None
    share: float
    seed: int
    say: Callable[[str], None]
    _learned: dict[Family, Learned] = field(default_factory=dict)

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Those of the training examples."""
        return self.groups[: len(self.learned_from.target)]

    def learn(self, family: Family) -> Learned:
        """A model of that family, learned once."""
        if family not in self._learned:
            self._learned[family] = self._learn(family)
        return self._learned[family]

    def _learn(self, family: Family) -> Learned:
        y, task, cut, say = self.learned_from.target, self.task, self.cut, self.say
        text, held = self.learned_from.text, self.held_out.text
        if family == "stack":
            return self._stack()
        if family == "head":
            assert self.embed is not None
            say(f"embedding {len(text) + len(held):,} examples")
            X, H = _features(self.learned_from, self.embed), _features(self.held_out, self.embed)
            head, chosen, unseen = best_head(X, y, self.clusters, task, cut, say)
            seen = bool(np.isnan(unseen).all())
            return Learned(family, head, chosen, head.scores(X) if seen else unseen, seen, head.scores(H))
        model: Ngrams | Bag
        if family == "ngram":
            model, chosen, unseen = best_ngrams(text, y, self.clusters, task, cut, say)
        else:
            inner = split(text, self.clusters, self.share, self.seed + 1)
            model, chosen, unseen = best_bag(text, y, inner, task, cut, say)
        seen = bool(np.isnan(unseen).all())
        return Learned(family, model, chosen, model.scores(text) if seen else unseen, seen, model.scores(held))

    def _stack(self) -> Learned:
        """Of measurements, of models learned here from the same labels, and of length."""
        text, held = self.learned_from.text, self.held_out.text
        y, binary = self.learned_from.target, self.task == "binary"
        words, held_words = (np.stack([words_of(side)] * 2, axis=1) for side in (text, held))
        names = [("text", "words"), ("text", "words")]
        groups = [Group(LENGTH, names, words, np.array([LOG, LOG_SQUARED]))]
        held_values = {LENGTH: held_words}
        measured = self.measure(text) if self.measure is not None else {}
        for name, (_, values) in (self.measure(held) if self.measure is not None else {}).items():
            groups.append(Group(name, *measured[name]))
            held_values[name] = values
        members = []
        for family in LEARNED:
            if family == "head" and self.embed is None:
                continue
            self.say(f"learning by {family}")
            part = self.learn(family)
            unseen = _cross_fitted(self, part.chosen) if family == "fasttext" else part.unseen
            reading = np.array([LOGIT]) if binary else None
            column = "prob" if binary else "score"
            groups.append(Group(family, [(family, column)], unseen[:, None], reading, learned=True))
            held_values[family] = part.held[:, None]
            members.append(part)
        stack, chosen, unseen = best_stack(groups, y, self.clusters, self.task, self.cut, self.say)
        kept = [group.name for group in groups if chosen["groups"][group.name]["kept"]]
        scores = stack.scores(np.concatenate([held_values[name] for name in kept], axis=1))
        left = tuple(part for part in members if part.family in kept)
        return Learned("stack", stack, chosen, unseen, bool(np.isnan(unseen).all()), scores, left)


def _contest(training: Training) -> tuple[Learned, dict[str, Any]]:
    """The family that does best on training examples that it did not see, and by how much it beats the others there.

    Each family is given its own best way first, which is chosen on the same examples: the winner's figure there is
    therefore too high by a little, and the card's own is of the held-out examples.
    """
    task, cut, say = training.task, training.cut, training.say
    y, groups = training.learned_from.target, training.clusters
    families: list[Family] = ["head"] if task == "pairwise" else ["ngram", "fasttext"]
    if training.embed is not None and "head" not in families:
        families.append("head")
    fitted, unseen = {}, {}
    for family in families:
        say(f"learning by {family}")
        fitted[family] = training.learn(family)
        unseen[family] = fitted[family].unseen
        if family == "fasttext":
            unseen[family] = _cross_fitted(training, fitted[family].chosen)
    scored = np.logical_and.reduce([~np.isnan(scores) for scores in unseen.values()])
    if not scored.any():
        scored = np.ones(len(y), bool)
    figures = {family: main_figure(scores[scored], y[scored], task, cut) for family, scores in unseen.items()}
    best = max(families, key=lambda family: figures[family])
    margins = {}
    for family in families:
        if family != best:
            ahead = bootstrap(
                lambda r, other=family: (  # type: ignore[misc]
                    main_figure(unseen[best][scored][r], y[scored][r], task, cut)
                    - main_figure(unseen[other][scored][r], y[scored][r], task, cut)
                ),
                groups[scored],
            )
            margins[family] = {name: None if np.isnan(value) else value for name, value in ahead._asdict().items()}
            say(f"{best} before {family}: {figure_name(task)} {figures[best]:.3f}, by {ahead}")
    return fitted[best], {"families": figures, "ahead_of": margins}


def _cross_fitted(training: Training, chosen: dict[str, Any]) -> Floats:
    """Scores of the training examples by fastText models, of the chosen way, that did not see them."""
    text, y = training.learned_from.text, training.learned_from.target
    fold, unseen = folds(training.clusters), np.full(len(y), np.nan)
    for part in np.unique(fold):
        out = fold == part
        if learnable(y, out, training.task):
            bag = Bag.fit(text.filter(pa.array(~out)), y[~out], training.task, Bag.way(chosen))
            unseen[out] = bag.scores(text.filter(pa.array(out)))
    # Without a known word: as good as any.
    return np.where(np.isnan(unseen), np.nanmean(unseen), unseen) if not np.isnan(unseen).all() else unseen


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


def _middle(target: Floats) -> float:
    """The lowest label above the median, or the highest where the median is that."""
    above = target[target > np.median(target)]
    return float(above.min()) if len(above) else float(target.max())
