"""Our fastText trainer: its steps by hand, beside other linear classifiers, and that only the data decide it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from curation.models.fasttext import FastText
from curation.text.arrow import buffers
from curation.text.fasttext.pieces import pieces
from curation.training.fasttext import Options, Tensors, opened, train
from schemas.documents import TEXT

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GOOD = [
    "the sum of two numbers is a number",
    "a proof of the lemma is given",
    "the lemma is a sum",
    "numbers and proof",
]
BAD = ["click here to buy now", "buy cheap pills now", "click now for cheap deals", "here are cheap deals"]
NAMES = ["good", "bad"]
LABELS = np.repeat(np.array([0, 1], np.int32), [len(GOOD), len(BAD)])
SMALL = Options(dim=6, lr=0.5, epochs=8, buckets=64)


def texts(values: list[str]) -> pa.Array:
    return pa.array(values, TEXT)


def prob(model: FastText, values: list[str], label: int = 0) -> list[float]:
    found = model.predict(texts(values), len(model.labels))
    return np.where(found.labels == label, found.probs, 0).max(axis=1).tolist()


def by_hand(values: list[str], labels: list[int], order: list[int], options: Options, first: np.ndarray) -> np.ndarray:
    """Logits of fastText's model on unigrams, trained by its update rule in plain numpy: words in order of `first`."""
    words = sorted({word for value in values for word in value.split()})
    place = {word: i for i, word in enumerate([*words, "</s>"])}
    vectors, output = first.copy(), np.zeros((2, options.dim))
    seen, total = 0, sum(len(values[i].split()) + 1 for i in order)
    for i in order:
        rate = options.lr * (1 - seen / total)
        rows = [place[word] for word in values[i].split()] + [place["</s>"]]
        seen += len(rows)
        hidden = vectors[rows].mean(axis=0)
        p = np.exp(output @ hidden) / np.exp(output @ hidden).sum()
        error = rate * ((np.arange(2) == labels[i]) - p)
        gradient = error @ output
        output += np.outer(error, hidden)
        np.add.at(vectors, rows, gradient / len(rows))
    return vectors @ output.T


def test_training_is_fasttexts_update_rule_in_plain_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.training import fasttext as module

    caught: list[tuple[list[int], np.ndarray]] = []
    descend = module._descend

    def spy(bounds, rows, labels, order, tokens, vectors, output, lr, total, seen):  # type: ignore[no-untyped-def]
        caught.append((order.tolist(), vectors.copy()))
        return descend(bounds, rows, labels, order, tokens, vectors, output, lr, total, seen)

    monkeypatch.setattr(module, "_descend", spy)
    options = Options(dim=5, lr=0.7, epochs=4, word_ngrams=1)
    tensors = train(texts([*GOOD, *BAD]), LABELS, NAMES, options)
    names = tensors["names"].tobytes().decode().split("\0")[:-3]
    alphabet = sorted(names, key=lambda name: (name == "</s>", name))
    first = caught[0][1][[names.index(name) for name in alphabet]].astype(np.float64)
    assert np.abs(first).max() <= 1 / 5
    order = [i for visits, _ in caught for i in visits]
    expected = by_hand([*GOOD, *BAD], LABELS.tolist(), order, options, first)
    np.testing.assert_allclose(tensors["rows"][[names.index(name) for name in alphabet]], expected, atol=1e-5)


def test_two_registers_are_told_apart_and_probabilities_are_the_softmax_of_mean_rows() -> None:
    tensors = train(texts([*GOOD, *BAD]), LABELS, NAMES, SMALL)
    model = opened(tensors)
    assert model.labels == NAMES
    assert min(prob(model, ["the proof is a sum of numbers"])) > 0.5 > max(prob(model, ["buy cheap deals here"]))
    found = pieces(*buffers(texts([GOOD[0]])), model._network, apart=False)
    logits = tensors["rows"][found.rows].mean(axis=0)
    assert prob(model, GOOD[:1])[0] == pytest.approx(1 / (1 + np.exp(logits[1] - logits[0])), abs=2e-5)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(GOOD) + len(BAD))))
def test_the_order_of_the_input_changes_no_bit(order: list[int]) -> None:
    values = [*GOOD, *BAD]
    expected = train(texts(values), LABELS, NAMES, SMALL)
    found = train(texts([values[i] for i in order]), LABELS[order], NAMES, SMALL)
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_seed_changes_the_model_and_the_same_one_repeats_it() -> None:
    one, again, other = (
        train(texts([*GOOD, *BAD]), LABELS, NAMES, Options(dim=6, lr=0.5, seed=seed))["rows"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("options", [SMALL, Options(dim=6, lr=0.5, min_chars=2, max_chars=4, buckets=500, min_count=2)])
def test_pieces_are_what_the_classifier_averages(options: Options) -> None:
    """Unfolded, the pieces' rows give the very probabilities, for texts of every kind."""
    tensors = train(texts([*GOOD, *BAD]), LABELS, NAMES, options)
    model = opened(tensors)
    odd = [
        "",
        "unheard-of words",
        "the </s> buy",
        "__label__good the sum",
        "é 日本 the\x00sum\nof",
        "a" * 300,
        "the " * 500,
    ]
    found = pieces(*buffers(texts(odd)), model._network, apart=True)
    probs = prob(model, odd)
    for i in range(len(odd)):
        rows = found.rows[found.documents[i] : found.documents[i + 1]]
        if len(rows):
            logits = tensors["rows"][rows].astype(np.float64).mean(axis=0)
            assert probs[i] == pytest.approx(1 / (1 + np.exp(logits[1] - logits[0])), abs=3e-5)
        else:
            assert probs[i] == 0


def test_spans_of_pieces_are_words_and_their_neighbours() -> None:
    model = opened(train(texts([*GOOD, *BAD]), LABELS, NAMES, Options(dim=6, word_ngrams=3, buckets=1 << 16)))
    [text] = ["  buy cheap\tpills now "]
    found = pieces(*buffers(texts(["skip me", text]).slice(1)), model._network, apart=False)
    spans = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    unigrams = ["buy", "cheap", "pills", "now", ""]  # the last is the end of the line
    bigrams = ["buy cheap", "cheap\tpills", "pills now", "now "]
    trigrams = ["buy cheap\tpills", "cheap\tpills now", "pills now "]
    assert sorted(spans) == sorted([*unigrams, *bigrams, *trigrams])
    assert found.tokens.tolist() == [5]
    assert int(found.ends.max()) == len(text) + 1


def test_rare_labels_are_visited_as_often_where_that_is_wanted() -> None:
    values, labels = [*GOOD, BAD[0]], np.array([0, 0, 0, 0, 1], np.int32)
    even, uneven = (
        opened(train(texts(values), labels, NAMES, Options(dim=6, lr=0.5, balanced=balanced)))
        for balanced in (True, False)
    )
    assert prob(even, BAD[:1], 1)[0] > prob(uneven, BAD[:1], 1)[0]


def test_many_labels_keep_their_vectors() -> None:
    values = [f"word{i} filler" for i in range(12)]
    names = [f"l{i}" for i in range(12)]
    tensors = train(texts(values * 3), np.arange(36, dtype=np.int32) % 12, names, Options(dim=8, lr=1.0, epochs=60))
    assert tensors["output"].shape == (12, 8)
    assert opened(tensors).predict(texts(values)).labels[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("values", "labels", "options", "says"),
    [
        ([], [], Options(), "nothing to learn from"),
        (["", " \n"], [0, 1], Options(min_count=3), "no word to learn from"),
        (["a", "b"], [0, 1], Options(lr=0.0), "learning rate is 0.0"),
        (["a", "b"], [0, 1], Options(epochs=0), "count from 1"),
        (["a", "b"], [0, 1], Options(min_chars=5, max_chars=3), "not above"),
        (["a", "b"], [0, 1], Options(max_chars=3), "both 0 or both above"),
        (["a b", "b a"], [0, 1], Options(lr=1e30, epochs=50), "went to infinity"),
    ],
)
def test_what_cannot_be_trained_says_so(values: list[str], labels: list[int], options: Options, says: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=says):
        train(texts(values), np.array(labels, np.int32), NAMES, options)


def test_arrays_that_do_not_fit_are_refused() -> None:
    tensors = train(texts([*GOOD, *BAD]), LABELS, NAMES, SMALL)
    with pytest.raises(ValueError, match="do not fit"):
        opened({**tensors, "rows": tensors["rows"][:-1]})


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.text(max_size=30), min_size=2, max_size=8), chars=st.booleans())
def test_any_text_can_be_learned_from(values: list[str], chars: bool) -> None:
    options = Options(dim=3, buckets=16, min_chars=2 if chars else 0, max_chars=3 if chars else 0)
    model = opened(train(texts(values), np.arange(len(values), dtype=np.int32) % 2, NAMES, options))
    assert all(0 < value <= 1 for value in prob(model, values))


def read(name: str) -> tuple[pa.Array, np.ndarray]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    table = pq.read_table(path)
    column = "label" if "label" in table.column_names else "rating"
    return table.column("text").combine_chunks(), np.array(table.column(column))


def accuracy(tensors: Tensors, text: pa.Array, y: np.ndarray) -> float:
    return float((opened(tensors).predict(text).labels[:, 0] == y).mean())


def regression(train_text: pa.Array, y: np.ndarray, text: pa.Array, expected: np.ndarray) -> float:
    """Accuracy of scikit-learn's logistic regression on hashed uni- and bigrams of the same words, in one thread."""
    hashed = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", lowercase=False, n_features=1 << 18)
    head = LogisticRegression(C=10, solver="liblinear").fit(hashed.transform(train_text.to_pylist()), y)
    return float((head.predict(hashed.transform(text.to_pylist())) == expected).mean())


@pytest.mark.long
@pytest.mark.parametrize(("split", "theirs"), [("sst2_dev", 0.778), ("sst2_test", 0.812)])
def test_sentiment_is_learned_as_well_as_by_fasttext_and_by_logistic_regression(split: str, theirs: float) -> None:
    """`theirs` is fastText 0.9.2 itself: lr 0.5, 5 epochs, word bigrams, 2,000,000 buckets, mean of three seeds."""
    text, y = read("sst2_train")
    found = accuracy(train(text, y.astype(np.int32), ["neg", "pos"], Options(lr=0.5)), *read(split))
    assert found >= theirs - 0.01
    assert found >= regression(text, y, *read(split)) - 0.01


def test_wellformed_questions_are_told_from_others_as_well_as_by_fasttext() -> None:
    """fastText 0.9.2 with the options of these: 0.681, where the more frequent kind is 0.615."""
    text, rating = read("query_wellformedness_train")
    y = (rating >= 0.8).astype(np.int32)
    tensors = train(text, y, ["bad", "good"], Options(balanced=False))
    dev, rated = read("query_wellformedness_dev")
    assert accuracy(tensors, dev, rated >= 0.8) >= 0.681 - 0.01
