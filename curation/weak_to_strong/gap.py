"""Performance gap recovered: how much of what a student could gain over its weak supervisor it did gain.

    PGR = mean(student - weak) / mean(ceiling - weak)

over seeds, each of which redraws the split, the supervisor, the student and the ceiling (Burns et al. 2023). It is a
ratio whose denominator may be noise, so it is told with a paired Fieller interval, and only where that is bounded.

Accuracies are shares, so their intervals are made on the logit scale, where no end leaves 0 … 1: mean and standard
error are turned by the delta method, with Student's t of n - 1 degrees of freedom (`xlogit` of `svyciprop` in Lumley's
R package survey). Fewer than three seeds have no interval: with one degree of freedom t is 12.7 standard errors, which
says nothing of two numbers; z or a percentile bootstrap over so few draw false conclusions in a fifth of cases or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from curation.statistics.metrics import Interval

LEVEL = 0.95
"""Of the intervals."""
FEWEST = 3
"""Seeds from which a spread between seeds is told."""
DOUBT = 0.01
"""Chance, one-sided, at which a ceiling no better than the weak supervisor would pass for better. By the lower end of a
95 % interval, a gap of .003 over five seeds, which is none to speak of, passes in one run of five."""
NOT_IDENTIFIABLE = "not identifiable"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """What the seeds say of weak supervisor, student and ceiling; intervals are two-sided, over seeds."""

    weak: Interval
    student: Interval
    ceiling: Interval
    gained: Interval
    """student - weak, paired by seed."""
    attainable: Interval
    """ceiling - weak, paired by seed."""
    recovered: Interval | None
    """PGR with its Fieller interval; None where it is not identifiable."""
    reason: str | None
    """Why it is not, or None."""
    seeds: int

    def __str__(self) -> str:
        return str(self.recovered) if self.recovered else f"{NOT_IDENTIFIABLE}: {self.reason}"


def recovered(
    weak: Sequence[float] | Array,
    student: Sequence[float] | Array,
    ceiling: Sequence[float] | Array,
    *,
    majority: float | None = None,
    level: float = LEVEL,
    doubt: float = DOUBT,
) -> Gap:
    """From accuracies [seeds] of the three on one test set a seed. `majority` is the share of the largest class in it.

    Not identifiable for fewer than FEWEST seeds, where the lower bound of ceiling - weak at 1 - `doubt` is not above 0,
    where Fieller's set is unbounded, or where the lower bound of the ceiling is not above `majority`. Raises ValueError
    where lengths differ or an accuracy is not finite.
    """
    w, s, c = (np.asarray(side, dtype=np.float64) for side in (weak, student, ceiling))
    if not (w.shape == s.shape == c.shape and w.ndim == 1 and len(w)):
        raise ValueError(f"one accuracy of each a seed, not {w.shape}, {s.shape} and {c.shape}")
    if not np.isfinite([w, s, c]).all():
        raise ValueError("an accuracy is not finite")
    attainable, top = t_interval(c - w, level), share_interval(c, level)
    least = t_interval(c - w, 1 - 2 * doubt).low
    interval, reason = None, None
    if len(w) < FEWEST:
        reason = f"{len(w)} of the {FEWEST} seeds from which a spread is told"
    elif not least > 0:
        reason = (
            f"the ceiling is {attainable.value:.3f} above the weak supervisor, {least:.3f} at least ({1 - doubt:.0%}):"
            " the same student taught with gold may be no better than the weak labels, so there is nothing that it"
            " could gain. Take a stronger student (another encoder, one that is tuned), or weaker supervisors"
        )
    elif majority is not None and not top.low > majority:
        reason = (
            f"the ceiling, {top}, is not above the largest class's share, {majority:.3f}: even gold teaches this"
            " student too little. Take a stronger student, or more rows with gold"
        )
    else:
        interval = fieller(s - w, c - w, level)
        reason = None if interval else "the interval is unbounded: seeds differ too much. Take more seeds"
    return Gap(
        weak=share_interval(w, level),
        student=share_interval(s, level),
        ceiling=top,
        gained=t_interval(s - w, level),
        attainable=attainable,
        recovered=interval,
        reason=reason,
        seeds=len(w),
    )


def t_interval(values: Array, level: float = LEVEL) -> Interval:
    """Mean and two-sided t interval over independent values [n]; infinite for one of them."""
    n, middle = len(values), float(values.mean())
    if n < 2:
        return Interval(middle, -np.inf, np.inf)
    half = float(student_t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(middle, middle - half, middle + half)


def share_interval(values: Array, level: float = LEVEL) -> Interval:
    """Mean and two-sided interval over shares [n] in 0 … 1, inside of it; infinite for fewer than FEWEST of them."""
    n, middle = len(values), float(values.mean())
    if n < FEWEST:
        return Interval(middle, -np.inf, np.inf)
    odds = middle * (1 - middle)
    if odds <= 0:  # all are 0, or all are 1
        return Interval(middle, middle, middle)
    centre = np.log(middle / (1 - middle))
    half = float(student_t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)) / odds
    low, high = (float(1 / (1 + np.exp(-end))) for end in (centre - half, centre + half))
    return Interval(middle, min(low, middle), max(high, middle))


def fieller(a: Array, b: Array, level: float = LEVEL) -> Interval | None:
    """Ratio of the means of paired values [n], n >= 2, and its interval; None where that is no bounded interval.

    All r with |mean(a) - r mean(b)| <= t · standard error of (a - r b), r by r exact for normal pairs (Fieller 1954).
    The set is an interval where mean(b) differs from 0 at the same level, else the outside of one, or everything.
    """
    n = len(a)
    factor = float(student_t.ppf((1 + level) / 2, n - 1)) ** 2 / n
    x, y = float(a.mean()), float(b.mean())
    da, db = a - x, b - y
    aa, ab, bb = (float((one * other).sum()) / (n - 1) * factor for one, other in ((da, da), (da, db), (db, db)))
    lead, half, last = y * y - bb, x * y - ab, x * x - aa
    if lead <= 0:
        return None
    # Within rounding of 0 where the interval is a point.
    root = np.sqrt(max(half * half - lead * last, 0.0))
    return Interval(x / y, float((half - root) / lead), float((half + root) / lead))
