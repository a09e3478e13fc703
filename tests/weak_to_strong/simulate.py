"""Weak-to-strong with logistic heads on Gaussian data, where it is known what a student can gain (methods.md §3.5).

20 features, the label a coin of sigmoid(4 w·x). The weak supervisor sees the features with noise of 1.5 standard
deviations, the student sees them clean, or as the supervisor does, or is given the weak labels of other rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from curation.training import logistic
from curation.weak_to_strong.gap import Gap, recovered

DIM, SLOPE, NOISE = 20, 4.0, 1.5
ROWS = {"weak": 2000, "transfer": 5000, "test": 5000}
SEEDS = 5
Student = Literal["clean", "same view", "permuted"]


def run(student: Student, number: int) -> Gap:
    """The gap over SEEDS seeds, each with rows, supervisor, student and ceiling of its own."""
    accuracies = [_accuracies(student, np.random.default_rng((number, seed))) for seed in range(SEEDS)]
    return recovered(*np.array(accuracies).T)


def _accuracies(student: Student, random: np.random.Generator) -> tuple[float, float, float]:
    direction = random.normal(size=DIM)
    direction /= np.linalg.norm(direction)
    clean, noisy, y = {}, {}, {}
    for part, rows in ROWS.items():
        clean[part] = random.normal(size=(rows, DIM))
        y[part] = random.random(rows) < logistic.sigmoid(SLOPE * (clean[part] @ direction))
        noisy[part] = clean[part] + NOISE * random.normal(size=(rows, DIM))
    weak = logistic.fit(noisy["weak"], y["weak"], 1.0, balanced=False)
    labels = logistic.sigmoid(weak.logits(noisy["transfer"]))
    if student == "permuted":
        labels = random.permutation(labels)
    view = noisy if student == "same view" else clean
    heads = [logistic.fit(view["transfer"], target, 1.0, balanced=False) for target in (labels, y["transfer"])]
    right = [
        float(((head.logits(seen["test"]) > 0) == y["test"]).mean())
        for head, seen in ((weak, noisy), (heads[0], view), (heads[1], view))
    ]
    return right[0], right[1], right[2]
