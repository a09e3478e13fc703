"""Labels that may be taken without a look, with a bound on their error: risk-controlled selective classification.

A row is labelled where the confidence is at or above a cut. Which cuts are tried, and in which order, is registered on
other rows than those that test them. They are tested from strict to loose by the Clopper-Pearson upper bound on the
error among accepted rows, up to the first whose bound is above what is allowed (fixed-sequence testing). Then, with
probability 1 - delta over the calibration rows, the error among accepted rows of the same kind is at most `error`. To
take the largest share that passes, out of all, breaks that promise.

Calibration rows are independent draws: one row of each near-duplicate cluster.

Source: Geifman and El-Yaniv 2017 (arXiv 1705.08500); Angelopoulos et al. 2021 (arXiv 2110.01052), fixed sequences.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.scorers.cascade_gate import CUTS
from curation.statistics.intervals import rows_needed, upper_bound

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tested:
    """One cut, and what the calibration rows say of it."""

    cut: float
    rows: int
    """Accepted calibration rows."""
    wrong: int
    bound: float
    """Clopper-Pearson upper bound on the error at delta."""


@dataclass(frozen=True)
class Control:
    """The loosest cut that passed."""

    error: float
    """Allowed among accepted rows, with probability 1 - delta."""
    delta: float
    cut: float | None
    """Accept from this confidence on; None, accept nothing."""
    share: float
    """Of calibration rows that are accepted."""
    tested: tuple[Tested, ...]
    """In order; all passed, but for the last where the last failed."""

    def accepts(self, confidence: Array) -> NDArray[np.bool_]:
        """Which rows are labelled, bool [n]; NaN is not."""
        return confidence >= (np.inf if self.cut is None else self.cut)

    @property
    def passed(self) -> Tested | None:
        """The test of the cut that was chosen."""
        return next((test for test in self.tested if test.cut == self.cut), None)

    def describe(self) -> dict[str, Any]:
        """Plain JSON facts."""
        return asdict(self)


def register(
    confidence: Array, right: NDArray[np.bool_], *, rows: int, error: float, delta: float, cuts: int = CUTS
) -> Array:
    """The cuts to be tested, strict to loose, from rows that will not test them: float64, maybe none.

    `confidence` [n] (NaN abstains), `right` bool [n]; `rows` is how many calibration rows there will be. Cuts are
    quantiles of the confidence. The first is the one whose bound promises to be lowest, among those that should accept
    the ⌈ln delta / ln(1 - error)⌉ rows below which nothing passes: a cut that accepts fewer would end the test in vain.
    """
    voted_confidence = confidence[~np.isnan(confidence)]
    if not len(voted_confidence):
        return np.empty(0)
    grid = np.unique(np.quantile(voted_confidence, np.arange(cuts) / cuts, method="higher"))[::-1]
    accepted, wrong = _counts(confidence, right, grid)
    scale = rows / len(confidence)
    enough = accepted * scale >= rows_needed(error, delta)
    if not enough.any():
        return np.empty(0)
    foreseen = np.where(enough, upper_bound(wrong * scale, accepted * scale, delta), np.inf)
    return np.asarray(grid[int(foreseen.argmin()) :])


def control(confidence: Array, right: NDArray[np.bool_], cuts: Array, *, error: float, delta: float) -> Control:
    """Test registered cuts, in their order, on calibration rows: `confidence` [n] (NaN abstains), `right` bool [n].

    Raises ValueError unless the cuts descend, and error and delta lie between 0 and 1.
    """
    if (np.diff(cuts) >= 0).any():
        raise ValueError("cuts are tested from strict to loose, so they must descend")
    if not (0 < error < 1 and 0 < delta < 1):
        raise ValueError(f"error and delta lie between 0 and 1, not at {error} and {delta}")
    accepted, wrong = _counts(confidence, right, cuts)
    bounds = upper_bound(wrong, accepted, delta)
    failed = bounds > error
    end = int(failed.argmax()) if failed.any() else len(cuts)
    tested = tuple(
        Tested(float(cuts[i]), int(accepted[i]), int(wrong[i]), float(bounds[i]))
        for i in range(min(end + 1, len(cuts)))
    )
    cut = tested[end - 1].cut if end else None
    return Control(error, delta, cut, tested[end - 1].rows / len(confidence) if end else 0.0, tested)


def curve(confidence: Array, right: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The risk-coverage curve, strict to loose: share of rows accepted and error among them, at every confidence.

    Descriptive: a point picked from it carries no bound.
    """
    cuts = np.unique(confidence[~np.isnan(confidence)])[::-1]
    accepted, wrong = _counts(confidence, right, cuts)
    return accepted / len(confidence), wrong / accepted


def _counts(confidence: Array, right: NDArray[np.bool_], cuts: Array) -> tuple[np.ndarray, np.ndarray]:
    """Accepted rows and the wrong ones among them, int64 [cuts] each."""
    known = ~np.isnan(confidence)
    every, wrong = np.sort(confidence[known]), np.sort(confidence[known & ~right])
    return len(every) - np.searchsorted(every, cuts), len(wrong) - np.searchsorted(wrong, cuts)
