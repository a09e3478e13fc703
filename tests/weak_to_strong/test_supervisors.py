"""What weak supervisors say of written reviews: votes, probabilities, and when they abstain or fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from reviews import FUNCTIONS, reviews
from scipy.special import softmax

from curation.training import multinomial
from curation.weak_to_strong import supervisors
from curation.weak_to_strong.supervisors.base import TaskRows, Votes
from curation.weak_to_strong.task import codes
from schemas.errors import CurationError
from schemas.weak_to_strong import SUPERVISORS
from small_models import write_tiny_causal, write_two_layers

CLASSES = ("negative", "positive")


def make(kind: str, base: Path = Path(), classes: tuple[str, ...] = CLASSES, **settings: Any) -> Any:
    return supervisors.make(kind, "s", SUPERVISORS[kind].model_validate(settings), classes, base)


def rows(count: int = 200, **options: Any) -> tuple[TaskRows, np.ndarray]:
    table = reviews(count, **options)
    text = table["text"].combine_chunks().cast(pa.large_string())
    return TaskRows(text, table.select(["stars", "p_positive"])), codes(table["label"].combine_chunks(), CLASSES)


def functions(*listed: dict[str, Any]) -> Any:
    return make("functions", functions=list(listed))


def test_functions_vote_where_their_condition_holds_and_abstain_elsewhere() -> None:
    data, y = rows()
    found = functions(*FUNCTIONS["functions"])  # type: ignore[misc]
    assert found.voters == ["s.good", "s.bad", "s.stars"]
    assert found.reads == ("stars",)
    votes = found.vote(data).votes
    stars = data.columns["stars"].to_numpy()
    assert set(np.unique(votes[:, 0])) == {-1, 1}
    assert set(np.unique(votes[:, 1])) == {-1, 0}
    assert votes[:, 2].tolist() == np.where(stars >= 4, 1, np.where(stars <= 2, 0, -1)).tolist()
    voted = votes[:, 2] >= 0
    assert (votes[voted, 2] == y[voted]).mean() > 0.8


def test_sql_reads_the_text_and_a_condition_votes_for_its_class() -> None:
    data, _ = rows(50)
    condition = {"name": "long", "class": "positive", "sql": "length(text) > 70 AND stars IS NOT NULL"}
    votes = functions(condition).vote(data).votes[:, 0]
    assert votes.tolist() == [1 if len(text) > 70 else -1 for text in data.text.to_pylist()]


@pytest.mark.parametrize(
    ("function", "code", "says"),
    [
        ({"name": "f", "class": "neutral", "regex": "a"}, "C012", "no class"),
        ({"name": "f", "class": "positive", "regex": "("}, "C012", "missing"),
        ({"name": "f", "sql": "random() > 0.5"}, "C011", "not deterministic"),
        ({"name": "f", "sql": "(SELECT 1)"}, "C011", "subquery"),
        ({"name": "f", "sql": "stars >="}, "C009", "does not parse"),
        ({"name": "f", "sql": "max(stars) > 1"}, "C011", "aggregate"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(function: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(CurationError, match=says) as caught:
        functions(function)
    [finding] = caught.value.findings
    assert (finding.code, "'f'" in finding.message) == (code, True)


def test_what_sql_meets_is_told_without_a_row_s_text() -> None:
    data, _ = rows(50)
    with pytest.raises(ValueError, match=r"^function 'f': ConversionException$"):
        functions({"name": "f", "class": "positive", "sql": "CAST(text AS INTEGER) > 1"}).vote(data)
    with pytest.raises(ValueError, match="none of the classes"):
        functions({"name": "f", "sql": "'neutral'"}).vote(data)


def test_imported_labels_and_probabilities() -> None:
    data, _ = rows(4)
    columns = pa.table({"label": ["positive", None, "negative", "positive"], "p": [0.9, None, 0.0, 0.5]})
    data = TaskRows(data.text, columns)
    assert make("imported", column="label").vote(data).votes[:, 0].tolist() == [1, -1, 0, 1]
    said = make("imported", probabilities={"positive": "p"}).vote(data)
    assert said.votes[:, 0].tolist() == [1, -1, 0, -1], "a tie is no vote"
    assert said.p is not None
    np.testing.assert_allclose(said.p[:, 0], np.array([[0.1, 0.9], [np.nan, np.nan], [1, 0], [0.5, 0.5]], np.float32))


@pytest.mark.parametrize(("value", "says"), [(float("nan"), "NaN or infinity for 1 of 2"), (1.5, "outside 0")])
def test_an_imported_probability_that_is_none_is_a_fault_and_no_label(value: float, says: str) -> None:
    data = TaskRows(pa.array(["a", "b"], pa.large_string()), pa.table({"p": [0.5, value]}))
    with pytest.raises(ValueError, match=says):
        make("imported", probabilities={"positive": "p"}).vote(data)


def test_probabilities_of_some_classes_only_are_refused() -> None:
    with pytest.raises(ValueError, match="'mixed'"):
        make("imported", classes=(*CLASSES, "mixed"), probabilities={"negative": "a", "positive": "b"})
    with pytest.raises(ValueError, match="no class"):
        make("imported", probabilities={"neutral": "a"})


def test_fasttext_learns_and_answers_in_the_order_of_the_classes() -> None:
    data, y = rows(300)
    p = make("fasttext").fit_predict(data.text.slice(0, 200), y[:200], data.text.slice(200))
    assert p.shape == (100, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == y[200:]).mean() > 0.7
    unknown = make("fasttext").fit_predict(data.text.slice(0, 200), y[:200], pa.array(["zzz"], pa.large_string()))
    assert np.isfinite(unknown).all()


def test_a_class_without_a_row_cannot_be_learned() -> None:
    data, _ = rows(20)
    with pytest.raises(ValueError, match="positive"):
        make("fasttext").fit_predict(data.text, np.zeros(20, np.int8), data.text)


def test_a_head_learns_from_vectors() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(100, 8)).astype(np.float16)
    y = (X[:, 0] > 0).astype(np.int8)
    head = make("head")
    expected = multinomial.fit(X, np.eye(2)[y], 1.0).probabilities(X)
    assert np.array_equal(head.fit_predict(X, y, X), expected)
    assert (head.view.max_tokens, head.view.pooling) == (None, None)


@pytest.mark.parametrize("length", ["mean", "sum"])
def test_zero_shot_is_the_probability_of_each_class_s_words(length: str, tmp_path: Path) -> None:
    """Against losses of one sequence at a time."""
    write_tiny_causal(tmp_path / "model")
    words = {"negative": " bad", "positive": " a very good one"}
    prompt = "{task}\nIt is"
    one = make("zero-shot", tmp_path, model="path:model", prompt=prompt, words=words, length=length)
    texts = ["The ferry leaves", "Whisk the eggs with sugar", "x" * 3000]
    data = TaskRows(pa.array(texts, pa.large_string()), pa.table({"n": [1, 2, 3]}))
    said = one.vote(data)
    assert said.votes[:, 0].tolist()[2] == -1, "longer than the window"
    assert said.p is not None
    for row, text in enumerate(texts[:2]):
        scores = []
        for name in CLASSES:
            before = one.model.ids(pa.array([f"{text}\nIt is"], pa.large_string())).ids
            word = one.model.ids(pa.array([words[name]], pa.large_string())).ids
            ids = np.concatenate([one.model.start_ids, before, word]).astype(np.int32)
            from curation.models.sequences import Sequences

            first = np.array([len(ids) - len(word)])
            losses = one.model.token_losses(Sequences(np.array([0, len(ids)]), ids), first).values
            scores.append(-losses.astype(float).sum() / (len(word) if length == "mean" else 1))
        np.testing.assert_allclose(said.p[row, 0], softmax(scores), rtol=1e-5)


def test_zero_shot_wants_words_for_each_class(tmp_path: Path) -> None:
    write_tiny_causal(tmp_path / "model")
    with pytest.raises(ValueError, match="each of the classes"):
        make("zero-shot", tmp_path, model="path:model", prompt="{task}", words={"positive": " yes"})


@pytest.mark.long
def test_an_encoder_learns_all_of_its_weights(tmp_path: Path) -> None:
    write_two_layers(tmp_path / "model")
    data, y = rows(260, noise=0.05)
    settings = {"model": "path:model", "max_tokens": 24, "epochs": 2, "lr": 5e-4, "batch": 16}
    p = make("encoder", tmp_path, **settings).fit_predict(data.text.slice(0, 200), y[:200], data.text.slice(200))
    assert p.shape == (60, 2)
    assert (p.argmax(axis=1) == y[200:]).mean() > 0.75


def test_what_is_said_is_finite_or_abstains() -> None:
    p = np.array([[0.2, 0.8], [np.nan, np.nan]])
    assert Votes.of(p, np.array([False, True])).votes[:, 0].tolist() == [1, -1]
    with pytest.raises(ValueError, match="1 of 2 rows"):
        Votes.of(p)
    sure = Votes(np.array([[1], [-1]], np.int8)).probabilities(2)
    np.testing.assert_array_equal(sure[:, 0], [[0, 1], [np.nan, np.nan]])
