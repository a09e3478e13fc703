"""scikit-learn's half of benchmarks/quality.py, in the peers' environment (`make peers`).

Takes a Parquet file with text, good and fold, and writes one of scores: each text's by a model of the other folds.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

WORDS, CHARACTERS = {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)}
WAYS = {
    "scikit-learn: words": [WORDS],
    "scikit-learn: characters": [CHARACTERS],
    "scikit-learn: both": [WORDS, CHARACTERS],
}
PENALTIES = (1, 10)


def main() -> None:
    table = pq.read_table(sys.argv[1])
    text, good, fold = (
        np.array(table["text"].to_pylist(), dtype=object),
        table["good"].to_numpy(),
        table["fold"].to_numpy(),
    )
    scores = {f"{way}, C {penalty}": np.zeros(len(text)) for way in WAYS for penalty in PENALTIES}
    for k in np.unique(fold):
        held = fold == k
        for way, parts in WAYS.items():
            vectorizers = [TfidfVectorizer(sublinear_tf=True, **part) for part in parts]
            X = hstack([one.fit_transform(text[~held]) for one in vectorizers]).tocsr()
            H = hstack([one.transform(text[held]) for one in vectorizers]).tocsr()
            for penalty in PENALTIES:
                model = LogisticRegression(C=penalty, max_iter=1000).fit(X, good[~held])
                scores[f"{way}, C {penalty}"][held] = model.decision_function(H)
    pq.write_table(pa.table(scores), sys.argv[2])


if __name__ == "__main__":
    main()
