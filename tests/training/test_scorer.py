"""What is learned foretells what was planted, and the card's figures are of examples that were not learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import kendalltau

from curation.training import logistic
from curation.training.examples import Examples, task_of
from curation.training.held_out import agreement
from curation.training.linear import head_scores
from curation.training.scorer import train
from pipelines.train_card import keep_from_of
from schemas.documents import TEXT

DIM = 12
DIRECTION = np.random.default_rng(5).normal(size=DIM)


def vector_of(text: str) -> np.ndarray:
    return np.random.default_rng(abs(hash_of(text))).normal(size=DIM)


def hash_of(text: str) -> int:
    return int(text.split()[0][1:])


def embed(text: pa.Array) -> np.ndarray:
    return np.stack([vector_of(item) for item in text.to_pylist()])


def words(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [
        f"n{n} " + " ".join(f"w{k}" for k in random.integers(10**6, size=random.integers(5, 12))) for n in range(count)
    ]


def examples(task: str, count: int = 600, noise: float = 0.3) -> Examples:
    text = words(count)
    random = np.random.default_rng(1)
    latent = embed(pa.array(text)) @ DIRECTION + noise * random.normal(size=count)
    if task == "pairwise":
        other = words(2 * count)[count:]
        better = latent > embed(pa.array(other)) @ DIRECTION
        return Examples(pa.array(text, TEXT), better.astype(float), pa.array(other, TEXT))
    target = {
        "binary": (latent > 1).astype(float),
        "ordinal": np.digitize(latent, [-4, -1, 1, 4]).astype(float),
        "regression": latent,
    }[task]
    return Examples(pa.array(text, TEXT), target)


@pytest.mark.parametrize("task", ["binary", "ordinal", "regression", "pairwise"])
def test_a_planted_direction_is_found(task: str) -> None:
    given = examples(task)
    assert task_of(given.target, given.other is not None) == task
    made = train(given, task=task, embed=embed)  # type: ignore[arg-type]
    weight = made.tensors["weight"]
    assert weight @ DIRECTION / np.linalg.norm(weight) / np.linalg.norm(DIRECTION) > 0.98
    figures = made.card["held_out"]
    main = {"binary": "auc", "pairwise": "accuracy"}.get(task, "spearman")
    assert figures[main]["value"] > 0.93
    assert figures[main]["low"] <= figures[main]["value"] <= figures[main]["high"]
    assert abs(figures[f"{main}_of_length"]["value"] - (0 if main == "spearman" else 0.5)) < 0.2
    assert made.card["examples"]["learned_from"] + made.card["examples"]["held_out"] == 600


def test_probabilities_are_calibrated_and_the_advised_score_keeps_what_the_card_says() -> None:
    """A penalty is chosen by ranks, which a strong one leaves as they are: unturned, all would lie about one half."""
    said: list[str] = []
    given = examples("binary", noise=3.0)
    held = examples("binary", 4000, noise=3.0).take(np.arange(600, 4000))
    uneven = np.logspace(0, -2, DIM)  # what the labels go by has little room in some directions: weights must be large
    made = train(given, task="binary", embed=lambda text: uneven * embed(text), test=held, say=said.append)
    figures, chosen = made.card["held_out"], made.card["chosen"]
    assert min(chosen["tried"]) < chosen["l2"] < max(chosen["tried"])
    assert min(chosen["tried"]) < 0.03, "the grid was widened"
    assert figures["calibration_error"]["value"] < 0.05
    probability = head_scores(
        (uneven * embed(held.text)) @ made.tensors["weight"], made.tensors["bias"], made.tensors["values"], "binary"
    )
    assert probability.min() < 0.1 < 0.7 < probability.max()
    kept, good = probability >= made.settings["keep_from"], held.target == 1
    assert figures["precision"]["value"] == pytest.approx(good[kept].mean())
    assert figures["recall"]["value"] == pytest.approx(kept[good].mean())
    assert figures["share_kept"]["value"] == pytest.approx(kept.mean())
    assert [line for line in said if line.startswith("penalty ") and "that it did not see" in line]


@pytest.mark.long
def test_labels_without_meaning_give_a_figure_of_chance() -> None:
    given = examples("regression")
    noise = Examples(given.text, np.random.default_rng(2).normal(size=600))
    figure = train(noise, task="regression", embed=embed).card["held_out"]["spearman"]
    assert figure["low"] < 0 < figure["high"]


def test_preferences_recover_a_ranking() -> None:
    """Bradley-Terry on 2,000 noisy pairs of 100 items: methods.md §4.6."""
    random = np.random.default_rng(3)
    items = random.normal(size=(100, DIM))
    merit = items @ DIRECTION
    a, b = random.integers(100, size=(2, 2000))
    wins = random.random(2000) < logistic.sigmoid(merit[a] - merit[b])
    head = logistic.fit(items[a] - items[b], wins, 0.3, balanced=False, bias=False)
    assert head.bias == 0
    assert kendalltau(head.logits(items), merit).statistic >= 0.95


def test_an_expected_grade_is_the_sum_over_grades() -> None:
    bias, values = np.array([2.0, 0.5, -1.0]), np.array([0.0, 1.0, 3.0, 4.0])
    product = np.array([-1.0, 0.0, 2.5])
    beyond = 1 / (1 + np.exp(-(product[:, None] + bias)))
    chance = np.concatenate([np.ones((3, 1)), beyond], axis=1) - np.concatenate([beyond, np.zeros((3, 1))], axis=1)
    np.testing.assert_allclose(head_scores(product, bias, values, "ordinal"), chance @ values)


def test_test_examples_near_to_training_ones_do_not_count() -> None:
    given = examples("regression")
    copies = given.take(np.arange(40))
    fresh = Examples(pa.array(words(1600)[1500:], TEXT), np.arange(100) / 10)
    test = Examples(pa.concat_arrays([copies.text, fresh.text]), np.append(copies.target, fresh.target))
    card = train(given, task="regression", embed=embed, test=test).card
    assert card["near_duplicates_of_training_examples_left_out"] == 40
    assert card["examples"] == {"learned_from": 600, "held_out": 100}


def test_a_threshold_that_stands_on_seen_examples_is_told() -> None:
    """Each label has one cluster of near-duplicates, so no part of the examples can be told from the others."""
    bad, good = words(2)
    given = Examples(pa.array([bad] * 30 + [good] * 30, TEXT), np.repeat([0.0, 1.0], 30))
    card = train(given, task="binary", embed=embed, test=examples("binary", 100).take(np.arange(10, 100))).card
    assert card["keep_from_scores_of_seen_examples"]
    assert "scored by the model that was learned from them" in keep_from_of(card)
    assert "by a model that had not seen it" in keep_from_of({**card, "keep_from_scores_of_seen_examples": False})


@pytest.mark.long
def test_fasttext_learns_grades_from_words() -> None:
    random = np.random.default_rng(4)
    grades = random.integers(0, 4, 500)
    text = [
        " ".join(random.choice([f"g{grade}{k}" for k in range(20)] + [f"x{k}" for k in range(60)], 12))
        for grade in grades
    ]
    made = train(Examples(pa.array(text, TEXT), grades.astype(float)), task="ordinal", method="fasttext")
    assert made.card["held_out"]["spearman"]["value"] > 0.8
    assert made.tensors["values"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "more", "says"),
    [
        (examples("binary", 30), {}, "each needs 20"),
        (examples("pairwise", 100), {"method": "fasttext"}, "does not learn from pairs"),
        (Examples(pa.array(words(400), TEXT), np.ones(400)), {"task": "binary"}, "needs both classes"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(given: Examples, more: dict[str, Any], says: str) -> None:
    settings = {"task": task_of(given.target, given.other is not None), "embed": embed, **more}
    with pytest.raises(ValueError, match=says):
        train(given, **settings)


def test_agreement_is_of_each_with_the_mean_of_the_others() -> None:
    labels = np.array([[1.0, 1, 2], [2, 3, 1], [3, 2, 3], [4, 4, np.nan]])
    found = agreement(labels)
    assert 0.3 < found < 1
    assert agreement(np.repeat(np.arange(5.0)[:, None], 3, axis=1)) == pytest.approx(1)
