"""Is the recipe right? Precision and recall of a run, from hand labels of a stratified sample of its documents.

Strata are what was kept, and each reason of each stage that drops. Every stratum is a simple random sample without
replacement, so what is known of it is exact: the hypergeometric form of Clopper and Pearson's interval (Buonaccorsi
1987), which is theirs where the stratum is large and a point where all of it is labelled.

Sums and ratios over strata are melded (Fay, Proschan and Brittain 2015): each stratum's lower and upper limits at every
level make two distributions of its number of good documents, and a limit of the whole is a quantile over draws of
them, those that lower the result taken together. For g good of n labelled in a stratum of N they are g +
BetaBinomial(N - n; g, n - g + 1) and g + BetaBinomial(N - n; g + 1, n - g). A posterior from Jeffreys' prior is
narrower, and wrong: it adds half a good document to every stratum, and where most strata hold none its interval leaves
out the truth every time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

FLOOR = 5
"""Least rows of a stratum, or all of it."""
OWN = 10
"""Rows that a reason must earn by its share of the drops to be a stratum; the rarer ones of a stage are one."""
OTHER = "other reasons"
LEVEL = 0.95
"""Of every interval."""
TAIL = (1 - LEVEL) / 2
DRAWS = 50_000

Count = NDArray[np.int64]


@dataclass(frozen=True)
class Stratum:
    """Documents of one outcome, and what is known of them."""

    stage: str | None
    """That dropped them; None for what was kept."""
    reason: str | None
    """None for what was kept, and for several rare reasons of a stage together."""
    size: int
    sampled: int
    labelled: int = 0
    good: int = 0

    @property
    def name(self) -> str:
        return "kept" if self.stage is None else f"{self.stage}: {self.reason or OTHER}"


@dataclass(frozen=True)
class Measure:
    """A share of documents, estimated and with its interval."""

    name: str
    stage: str | None
    reason: str | None
    least: float
    """The estimate if unlabelled strata are what is worst for it."""
    most: float
    """The estimate if they are what is best for it; the same where every stratum has a label."""
    low: float
    high: float
    labelled: int
    good: int
    documents: int

    @property
    def estimate(self) -> float | None:
        """None where labels are missing."""
        return self.least if self.least == self.most else None


def cut(reasons: Mapping[tuple[str, str], int], rows: int) -> dict[tuple[str, str], str | None]:
    """Which stratum of its stage each (stage, reason) belongs to: its own reason, or None for the rare ones together.

    `reasons` counts dropped documents, `rows` is what the sample has for them. A reason that is the only rare one of
    its stage keeps its name.
    """
    total = sum(reasons.values())
    rare = [key for key, size in reasons.items() if size * rows < OWN * total]
    stages = [stage for stage, _ in rare]
    return {key: None if key in rare and stages.count(key[0]) > 1 else key[1] for key in reasons}


def allocate(kept: int, dropped: Sequence[int], rows: int) -> tuple[int, list[int]]:
    """Rows to sample of `kept` documents and of each stratum of `dropped` ones, `rows` in all or every document.

    Half go to what was kept, since precision rests on that one stratum and recall on both halves. The other half is
    shared by size: where nothing is known of the rates, that is where the sum over strata is known best (Neyman's
    allocation with equal deviations). None gets less than FLOOR, and what one half cannot use the other gets.
    Raises ValueError where `rows` are too few for the floors.
    """
    sizes = np.array(dropped, dtype=np.int64)
    floors = np.minimum(sizes, FLOOR)
    least = min(kept, FLOOR) + int(floors.sum())
    if rows < least:
        raise ValueError(f"{len(sizes) + bool(kept)} strata need {least} rows at least")
    half = min(kept, max(rows // 2, rows - int(sizes.sum())), rows - int(floors.sum()))
    return half, _by_size(sizes, floors, min(rows - half, int(sizes.sum()))).tolist()


def _by_size(sizes: Count, floors: Count, rows: int) -> Count:
    """`rows` in proportion to `sizes` but not below `floors`; largest remainders, ties to the earlier."""
    low = np.zeros(len(sizes), dtype=bool)
    while True:
        rest = max(int(sizes[~low].sum()), 1)
        exact = np.where(low, floors, (rows - floors[low].sum()) * sizes / rest)
        if not (exact < floors).any():
            break
        low |= exact < floors
    found = np.floor(exact).astype(np.int64)
    found[np.argsort(found - exact, kind="stable")[: rows - found.sum()]] += 1
    return found


@lru_cache(maxsize=4096)
def limits(size: int, labelled: int, good: int) -> tuple[int, int]:
    """Least and greatest number of good documents among `size` of which `labelled` by chance hold `good`.

    Exact and equal-tailed: those numbers under which neither as many nor as few good ones has a chance of
    TAIL or less. Without a label, 0 and `size`.
    """
    return _least(size, labelled, good), size - _least(size, labelled, labelled - good)


def _least(size: int, labelled: int, good: int) -> int:
    able = range(good, size - (labelled - good) + 1)
    if good == 0 or len(able) == 1:
        return good
    return able[bisect_right(able, TAIL, key=lambda there: hypergeom.sf(good - 1, size, there, labelled))]


def measures(strata: Sequence[Stratum], seed: int = 0, draws: int = DRAWS) -> list[Measure]:
    """Precision (good among kept), recall (kept among good), and false drops (good among dropped): of all drops, of
    each stage with several strata, of each stratum. `seed` and `draws` are those of the melded limits."""
    kept = [item for item in strata if item.stage is None]
    dropped = [item for item in strata if item.stage is not None]
    k, d = _Total(kept, (seed, 0), draws), _Total(dropped, (seed, 1), draws)
    recall = Measure(
        "recall", None, None,
        float(_ratio(k.least, d.most, 0)), float(_ratio(k.most, d.least, 1)),
        _quantile(_ratio(k.low, d.high, 0), TAIL), _quantile(_ratio(k.high, d.low, 1), 1 - TAIL),
        k.labelled + d.labelled, k.good + d.good, k.documents + d.documents,
    )  # fmt: skip
    shares = [k.share("precision"), recall, d.share("false drops")]
    for stage in dict.fromkeys(item.stage for item in dropped):
        by_stage = [item for item in dropped if item.stage == stage]
        if len(by_stage) > 1:
            shares.append(_Total(by_stage, (seed, 1), draws).share("false drops", stage))
        shares += [
            _Total([item], (seed, 1), draws).share("false drops", stage, item.reason or OTHER) for item in by_stage
        ]
    return shares


class _Total:
    """The number of good documents in some strata together: estimates, and draws of its lower and upper limits."""

    def __init__(self, strata: Sequence[Stratum], seed: tuple[int, int], draws: int) -> None:
        random = np.random.default_rng(seed)
        size, n, g = (
            np.array([getattr(item, name) for item in strata], dtype=np.int64) for name in ("size", "labelled", "good")
        )
        self.strata = strata
        self.documents, self.labelled, self.good = int(size.sum()), int(n.sum()), int(g.sum())
        mean = size * g / np.maximum(n, 1)
        self.least = float(mean.sum())
        self.most = float(np.where(n > 0, mean, size).sum())
        self.low = (g + _others(size - n, g, n - g + 1, random, draws)).sum(axis=1)
        self.high = (g + _others(size - n, g + 1, n - g, random, draws)).sum(axis=1)

    def share(self, name: str, stage: str | None = None, reason: str | None = None) -> Measure:
        """Of all documents of the strata, those that are good."""
        bounds: tuple[float, float] = (_quantile(self.low, TAIL), _quantile(self.high, 1 - TAIL))
        if len(self.strata) == 1:
            bounds = limits(self.documents, self.labelled, self.good)
        values = np.array([self.least, self.most, *bounds]) / max(self.documents, 1)
        least, most, low, high = values.tolist() if self.documents else (0.0, 1.0, 0.0, 1.0)
        return Measure(name, stage, reason, least, most, low, high, self.labelled, self.good, self.documents)


def _others(size: Count, a: Count, b: Count, random: np.random.Generator, draws: int) -> Count:
    """Beta-binomial draws [draws, strata]: all or nothing where `b` or `a` is 0."""
    share = random.beta(np.maximum(a, 1), np.maximum(b, 1), (draws, len(size)))
    return random.binomial(size, np.where(a == 0, 0.0, np.where(b == 0, 1.0, share)))


def _ratio(kept: Any, dropped: Any, undefined: float) -> Any:
    """kept / (kept + dropped), `undefined` where both are 0."""
    total = np.asarray(kept + dropped)
    return np.where(total > 0, kept / np.where(total > 0, total, 1), undefined)


def _quantile(values: NDArray[Any], level: float) -> float:
    return float(np.quantile(values, level, method="inverted_cdf"))
