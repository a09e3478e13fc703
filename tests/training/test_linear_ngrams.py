"""Models of n-grams against scikit-learn's, and the choice among families."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curation.text.ngram_vectors import Grams, counted
from curation.training import logistic, ridge
from curation.training.examples import Examples
from curation.training.ngram import rows, vocabulary
from curation.training.scorer import train
from curation.training.sparse import Sparse
from schemas.documents import TEXT

COOKING = [
    "Chop the onion, then stir the soup.",
    "Bake the bread at 200 °C!",
    "Whisk two eggs; fry the leek.",
    "Peel the plum and the pear.",
]
NEWS = [
    "The council voted on the bridge.",
    "Shares fell again: 3.5 % on Monday.",
    "Rain is expected in Zürich.",
    "The minister left the council.",
]
NEW = ["Stir the eggs, then bake!", "The bridge fell in the rain.", "Zürich: soup and shares"]
SCIKIT = {True: [2.719356, 0.829721, -1.138488], False: [2.689873, 0.797994, -1.150609]}
"""Decision function of scikit-learn 1.9's `LogisticRegression(C=10)` on NEW, by `sublinear_tf`, with `min_df=2` on
`TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), lowercase=False)` and
`TfidfVectorizer(token_pattern=r"\\w+|[^\\w\\s]+", ngram_range=(1, 2))` side by side."""


@pytest.mark.parametrize("sublinear", [True, False])
def test_the_logits_are_those_of_scikit_learn(sublinear: bool) -> None:
    counts = counted(pa.array([*COOKING, *NEWS], TEXT), Grams())
    words = vocabulary(counts)
    assert len(words.keys) == 84
    head = logistic.fit(rows(counts, words, sublinear), np.arange(8) < 4, 0.1, balanced=False)
    new = rows(counted(pa.array(NEW, TEXT), Grams()), words, sublinear)
    np.testing.assert_allclose(head.logits(new), SCIKIT[sublinear], atol=2e-5)


def test_a_fit_to_sparse_rows_is_that_to_the_same_rows() -> None:
    random = np.random.default_rng(0)
    X = np.where(random.random((60, 9)) < 0.3, random.normal(size=(60, 9)), 0)
    row, column = np.nonzero(X)
    bounds = np.searchsorted(row, np.arange(61))
    sparse = Sparse(bounds, column.astype(np.int32), X[row, column], 9)
    y = X[:, 0] + 0.3 * random.normal(size=60)
    some = random.random(60) < 0.5
    np.testing.assert_allclose(sparse[some].times(np.arange(9.0)), X[some] @ np.arange(9.0))
    one, other = (logistic.fit(rows, y > 0, 1.0) for rows in (sparse, X))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-8)
    one, other = (ridge.fit(rows, y, 1.0) for rows in (sparse, X))
    np.testing.assert_allclose([*one.weight, one.bias], [*other.weight, other.bias], atol=1e-8)
    levels = np.digitize(y, [-0.5, 0.5])
    for fitted, expected in zip(
        logistic.fit_ordinal(sparse, levels, 1.0), logistic.fit_ordinal(X, levels, 1.0), strict=True
    ):
        np.testing.assert_allclose(fitted, expected, atol=1e-8)


@pytest.mark.long
def test_auto_takes_the_family_that_tells_examples_apart_and_says_by_how_much() -> None:
    """Words are all new ones, so that only their spelling says what they are."""
    random = np.random.default_rng(2)

    def word(ending: str) -> str:
        return "".join(random.choice(list("bcdfglmnprst"), 6)) + ending

    good = np.arange(240) % 2 == 0
    text = [" ".join(word("ing" if side else "est") for _ in range(5)) for side in good]
    said: list[str] = []
    made = train(Examples(pa.array(text, TEXT), good.astype(float)), task="binary", method="auto", say=said.append)
    assert made.family == made.card["method"] == "ngram"
    assert made.card["families"]["ngram"] > 0.98
    assert made.card["ahead_of"]["fasttext"]["value"] >= 0
    assert made.card["held_out"]["auc"]["value"] > 0.98
    assert [line for line in said if line.startswith("ngram before fasttext: AUC")]
