"""A stack knows what its groups know together, leaves out what adds nothing, and is refused where nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from curation.statistics import metrics
from curation.training.stack import LOG, LOG_SQUARED, LOGIT, Columns, Group, Stack, best_stack

ROWS = 400


def world(signal: float = 1.0) -> tuple[list[Group], np.ndarray]:
    """A judgement that length, two measurements and a learned member each know something of, and noise nothing."""
    random = np.random.default_rng(0)
    size, form, topic = random.normal(size=(3, ROWS))
    y = (0.3 * size + signal * (form + topic) + random.normal(size=ROWS) > 0).astype(float)
    words = np.exp(4 + size)[:, None]
    measured = np.stack([np.exp(2 * form), random.normal(size=ROWS), np.full(ROWS, 3.0)], axis=1)
    measured[::17, 0] = np.nan
    measured[5, 0] = 1e12
    prob = 1 / (1 + np.exp(-topic))[:, None]
    groups = [
        Group("length", [("text", "words")] * 2, np.repeat(words, 2, axis=1), np.array([LOG, LOG_SQUARED])),
        Group("rules", [("r", "ratio"), ("r", "nothing"), ("r", "constant")], measured),
        Group("ngram", [("ngram", "prob")], prob, np.array([LOGIT]), learned=True),
        Group("noise", [("n", "x")], random.normal(size=(ROWS, 1))),
    ]
    return groups, y


def learn(groups: list[Group], y: np.ndarray) -> tuple[Stack, dict[str, object], np.ndarray]:
    return best_stack(groups, y, np.arange(ROWS), "binary", 0.5, lambda line: None)


def test_what_adds_is_kept_and_the_weights_are_those_that_were_judged() -> None:
    groups, y = world()
    stack, facts, unseen = learn(groups, y)
    kept = {name: entry["kept"] for name, entry in facts["groups"].items()}  # type: ignore[attr-defined]
    assert (kept["rules"], kept["ngram"]) == (True, True)
    share = {(group, field): abs(w) for (group, _, field), w in zip(stack.fields, stack.weight, strict=True)}
    assert share.get(("noise", "x"), 0) < share["ngram", "prob"] / 3
    for name, low in (("rules", 0.05), ("ngram", 0.05)):
        assert facts["groups"][name]["adds_to_length"]["low"] > low  # type: ignore[index]
    alone = max(entry["alone"] for entry in facts["groups"].values())  # type: ignore[attr-defined]
    assert metrics.auc(unseen, y > 0.5) > alone + 0.05
    raw = np.concatenate([group.X for group in groups if kept[group.name]], axis=1)
    assert metrics.spearman(stack.scores(raw), unseen) > 0.97
    assert stack.weight[[field[2] for field in stack.fields].index("constant")] == 0
    missing = stack.scores(np.full((1, len(stack.fields)), np.nan))
    assert 0.3 < missing[0] < 0.7, "what is missing is the mean"


def test_columns_that_add_nothing_to_length_are_refused() -> None:
    groups, y = world(signal=0)
    with pytest.raises(ValueError, match="not shown to add to length"):
        learn([groups[0], groups[3]], y)


def test_a_group_that_does_it_alone_is_named_instead() -> None:
    groups, _ = world()
    y = (groups[2].X[:, 0] > 0.5).astype(float)
    with pytest.raises(ValueError, match="ngram alone does as well"):
        learn(groups, y)


def test_columns_are_bounded_logged_where_skewed_and_about_zero() -> None:
    random = np.random.default_rng(1)
    X = np.stack([random.normal(5, 2, 1000), np.exp(random.normal(size=1000) * 3), np.full(1000, 2.0)], axis=1)
    X[0], X[1] = 1e9, np.nan
    columns = Columns.fit(X)
    assert columns.reading.tolist() == [0, LOG, 0]
    Z = columns(X)
    np.testing.assert_allclose(Z[2:].mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(Z[2:].std(axis=0), [1, 1, 0], atol=0.02)
    assert np.abs(Z).max() < 4
    assert (Z[1] == 0).all()
    beside = Columns.beside([columns, columns])
    np.testing.assert_array_equal(beside(np.concatenate([X, X], axis=1))[:, 3:], Z)
