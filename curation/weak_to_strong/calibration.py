"""Whether probabilities mean what they say: temperature scaling, calibration error, Brier score, reliability table.

Probabilities and logits are float64 [n, k], labels y int [n] in 0 … k - 1. `weight` float64 [n], not negative, weighs
rows; all count the same without it. A temperature is fitted on rows that nothing else was fitted on or is tested on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from curation.statistics.metrics import BINS

COLDEST, HOTTEST = 0.01, 100.0
"""Where the search for a temperature ends. Rows that are all right ask for 0, rows worse than chance for infinity."""

Array = NDArray[np.float64]
Right = NDArray[np.bool_] | NDArray[np.float64]
Labels = NDArray[np.integer[Any]]


def logits(p: Array) -> Array:
    """log p, 0 being the smallest normal float: what there is to scale where a supervisor gives probabilities only."""
    return np.log(np.maximum(p, np.finfo(np.float64).tiny))


def temperature(z: Array, y: Labels, weight: Array | None = None) -> float:
    """The T in COLDEST … HOTTEST at which softmax(z / T) has the least log loss (Guo et al. 2017, arXiv 1706.04599).

    The loss is convex in 1 / T, so its slope has one root at most, and that is bracketed. Raises ValueError where there
    is no row, or z is not finite.
    """
    if not len(y) or not np.isfinite(z).all():
        raise ValueError("a temperature needs rows, and finite logits")
    weight = _weights(y, weight)
    z = z - z.max(axis=1, keepdims=True)
    target = z[np.arange(len(y)), y]

    def slope(inverse: float) -> float:
        expected = (softmax(z * inverse, axis=1) * z).sum(axis=1)
        return float((weight * (expected - target)).sum())

    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    if slope(1 / COLDEST) <= 0:
        return COLDEST
    return float(1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-13, rtol=1e-13))


def scaled(z: Array, temperature: float) -> Array:
    """softmax(z / temperature), [n, k]. The most probable class stays the same."""
    return np.asarray(softmax(z / temperature, axis=1))


def log_loss(z: Array, y: Labels, weight: Array | None = None) -> float:
    """Mean of -log softmax(z)_y, in nats."""
    return _mean(-log_softmax(z, axis=1)[np.arange(len(y)), y], weight)


def brier(p: Array, y: Labels, weight: Array | None = None) -> float:
    """Mean over rows of sum_k (p_k - 1[y = k])², from 0 to 2 (Brier 1950): for two classes twice (p_1 - y)²."""
    hit = np.arange(p.shape[1]) == y[:, None]
    return _mean(((p - hit) ** 2).sum(axis=1), weight)


@dataclass(frozen=True)
class Reliability:
    """How often predictions are right, by how sure they were: a row a bin, bins without rows left out."""

    low: Array
    """Least and greatest confidence in each bin, [bins]."""
    high: Array
    share: Array
    """Of the weight, sums to 1."""
    confidence: Array
    """Mean of the probability given."""
    accuracy: Array
    """Share that was right."""
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: sum over bins of share · |accuracy - confidence| (Naeini et al. 2015)."""
        return float((self.share * np.abs(self.accuracy - self.confidence)).sum())


def equal_width(confidence: Array, right: Right, weight: Array | None = None, bins: int = BINS) -> Reliability:
    """Bins of one width over 0 … 1, what most papers call ECE; `confidence` [n] in 0 … 1, `right` [n], bool or shares.

    For several classes, confidence is the largest probability and right whether that class is the label (`top`).
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return _table(place, confidence, right, weight, bins)


def equal_mass(confidence: Array, right: Right, weight: Array | None = None, bins: int = BINS) -> Reliability:
    """Bins of one weight as far as may be: rows of one confidence stay together, in the bin of the middle of them."""
    weight_ = _weights(confidence, weight)
    _, level = np.unique(confidence, return_inverse=True)
    mass = np.bincount(level, weight_)
    middle = (np.cumsum(mass) - mass / 2) / max(float(mass.sum()), 1e-300)
    place = np.minimum((middle * bins).astype(np.int64), bins - 1)[level]
    return _table(place, confidence, right, weight, bins)


def top(p: Array, y: Labels) -> tuple[Array, Array]:
    """The largest probability of each row, and whether its class is the label: 1 or 0, of m equal ones 1 / m."""
    most = p.max(axis=1)
    ties = p >= most[:, None]
    return most, ties[np.arange(len(y)), y] / ties.sum(axis=1)


def _table(bin_of: NDArray[np.int64], confidence: Array, right: Right, weight: Array | None, bins: int) -> Reliability:
    weight = _weights(confidence, weight)
    rows, mass = np.bincount(bin_of, minlength=bins), np.bincount(bin_of, weight, bins)
    low, high = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(low, bin_of, confidence)
    np.maximum.at(high, bin_of, confidence)
    sure, hits = np.bincount(bin_of, weight * confidence, bins), np.bincount(bin_of, weight * right, bins)
    filled = mass > 0
    total = float(mass.sum())
    return Reliability(
        low[filled],
        high[filled],
        mass[filled] / total,
        sure[filled] / mass[filled],
        hits[filled] / mass[filled],
        rows[filled],
    )


def _weights(rows: np.ndarray, weight: Array | None) -> Array:
    return np.ones(len(rows)) if weight is None else weight


def _mean(values: Array, weight: Array | None) -> float:
    weight = _weights(values, weight)
    return float((weight * values).sum() / weight.sum())
