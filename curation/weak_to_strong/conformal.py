"""Split conformal prediction: sets of classes that hold the label as often as promised, whatever the model.

Of n calibration rows, each has a score of its label, higher being stranger; q is the ⌈(n + 1)(1 - alpha)⌉-th smallest,
and a row's set is all classes with a score of q or less. Where calibration and new rows are exchangeable, the set holds
the label with probability 1 - alpha or more, over both draws: not for each class, row or calibration sample. By class
(Mondrian), it does so for the rows of each. Rows of another source void it, near-duplicates make n too large.

A set of one class carries no promise about its error: to label automatically, use `risk`.

Source: Vovk et al. 2005; LAC: Sadinle et al. 2019 (arXiv 1609.00451); APS: Romano et al. 2020 (arXiv 2006.02544).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.weak_to_strong.crossfit import keyed

Array = NDArray[np.float64]
Score = Literal["lac", "aps"]


def rank(n: int, alpha: float) -> int:
    """⌈(n + 1)(1 - alpha)⌉ with alpha as it is written, not as floats round it; above n, no finite quantile exists."""
    return ceil((n + 1) * (1 - Fraction(str(float(alpha)))))


@dataclass(frozen=True)
class Conformal:
    """A calibrated threshold, or one a class."""

    score: Score
    alpha: float
    quantile: Array
    """Largest score that is let in, [k]; infinite, so that the class is in every set, where rows are too few."""
    rows: NDArray[np.int64]
    """Calibration rows behind each, [k]."""
    seed: int

    @property
    def level(self) -> Array:
        """Coverage that is guaranteed on average, [k]: ⌈(n + 1)(1 - alpha)⌉ / (n + 1), at least 1 - alpha.

        Where scores have no ties it is also what is reached.
        """
        return np.array([rank(int(n), self.alpha) / (n + 1) for n in self.rows])

    def sets(self, p: Array, keys: NDArray[np.uint64] | None = None) -> NDArray[np.bool_]:
        """Which classes are in the set of each row, [n, k]; it may be none, or all. `keys` as in `calibrate`."""
        return scores(p, self.score, keys, self.seed) <= self.quantile


def calibrate(
    p: Array,
    y: NDArray[np.integer[Any]],
    alpha: float,
    *,
    score: Score = "lac",
    by_class: bool = False,
    keys: NDArray[np.uint64] | None = None,
    seed: int = 0,
) -> Conformal:
    """Thresholds from probabilities [n, k] and labels [n] of rows that nothing was fitted on; alpha in 0 … 1.

    `keys` uint64 [n], for APS, are names of rows such as hashes of their text: with the seed they draw the row's lot.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, and must lie between 0 and 1")
    own = scores(p, score, keys, seed)[np.arange(len(y)), y]
    classes = p.shape[1]
    parts = [own[y == c] for c in range(classes)] if by_class else [own] * classes
    quantile = np.array([_smallest(part, rank(len(part), alpha)) for part in parts])
    return Conformal(score, alpha, quantile, np.array([len(part) for part in parts]), seed)


def scores(p: Array, score: Score, keys: NDArray[np.uint64] | None = None, seed: int = 0) -> Array:
    """How strange each class would be, [n, k].

    `lac`: 1 - p, the least sets on average. `aps`: the probability of all classes that are likelier, and of this one a
    share drawn for the row: sets grow with difficulty, and coverage is exact although scores have steps. Of equally
    likely classes the first counts as likelier.
    """
    if score == "lac":
        return 1 - p
    if keys is None:
        raise ValueError("aps needs a key of each row, to draw its lot")
    order = np.argsort(-p, axis=1, kind="stable")
    sorted_p = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(sorted_p, axis=1) - sorted_p
    found = np.empty_like(p)
    np.put_along_axis(found, order, before + sorted_p * lots(keys, seed)[:, None], axis=1)
    return found


def lots(keys: NDArray[np.uint64], seed: int) -> Array:
    """A number in [0, 1) for each key, the same wherever the row stands: splitmix64 of key and seed."""
    return np.asarray((keyed(keys, seed) >> np.uint64(11)) / 2.0**53)


def _smallest(values: Array, place: int) -> float:
    """The place-th smallest, infinite beyond the last."""
    return float(np.sort(values)[place - 1]) if place <= len(values) else float("inf")
