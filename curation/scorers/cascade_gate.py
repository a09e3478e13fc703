"""A two-sided gate on a cheap score, with bounds on how often it decides otherwise than an expensive one would.

The expensive score says keep or drop by a fixed absolute cut. A document whose cheap score is at least `high` is kept
and one below `low` is dropped, unseen by the expensive scorer; those between are escalated. On documents drawn like the
calibration sample, with probability 1 - delta over that sample, both hold:

    P(expensive drops | kept by the cheap score)  <= wrong_keeps
    P(expensive keeps | dropped by the cheap one) <= wrong_drops

How: the sample falls into two halves. The first fixes a sequence of cuts, from strict to loose, and where it begins:
where its own bound is lowest. The second tests each cut in that order by the Clopper-Pearson upper bound at delta / 2,
and stops at the first failure (fixed-sequence testing), so that trying many cuts costs nothing. To take the best of all
cuts instead breaks the promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.statistics.intervals import lower_bound, rows_needed, upper_bound

CUTS = 40
"""Steps of the grid of cuts, quantiles of the first half (the grid of FrugalGPT's threshold search)."""
KEEP, ESCALATE, DROP = 1, 0, -1


@dataclass(frozen=True)
class TwoSidedGate:
    """Kept from `high` on, dropped below `low`, escalated between. Infinite where a side could not be certified."""

    low: float = -np.inf
    high: float = np.inf

    def route(self, cheap: np.ndarray) -> np.ndarray:
        """KEEP, ESCALATE or DROP, int8 [n]. A score that is NaN escalates."""
        return np.where(cheap >= self.high, KEEP, np.where(cheap < self.low, DROP, ESCALATE)).astype(np.int8)


@dataclass(frozen=True)
class Side:
    """What the second half says of one side of the gate: `wrong` of `rows`, and the bound that was certified."""

    wrong: int
    rows: int
    bound: float
    """Clopper-Pearson upper bound at delta / 2; 1 where nothing was certified."""


@dataclass(frozen=True)
class Calibrated:
    """A gate, and what the second half of the calibration sample says of it."""

    gate: TwoSidedGate
    kept: Side
    """Of the documents that the cheap score keeps, those that the expensive one drops."""
    dropped: Side
    """Of the documents that the cheap score drops, those that the expensive one keeps."""
    escalated: float
    """Share of documents that go on to the expensive scorer."""
    recall: float
    """Share of the documents that the expensive score keeps and the cascade keeps too; NaN where it keeps none."""
    recall_at_least: float
    """Clopper-Pearson lower bound on it at delta: an estimate beside the promise, no part of it."""
    rows: int
    """Calibration rows, each scored by both: part of the cost."""

    def cost(self, documents: int, audit: float = 0.0) -> float:
        """Documents that the expensive scorer reads for `documents`, calibration and audit slice included.

        `audit` is the share that is always escalated. To score everything costs `documents`; what the cheap scorer
        costs comes on top, for documents and calibration alike.
        """
        return self.rows + documents * (self.escalated + audit * (1 - self.escalated))

    def describe(self, audit: float = 0.0) -> dict[str, Any]:
        """Plain JSON facts, for a card or a report."""
        share = self.cost(1, audit) - self.rows
        return {
            "low": _finite(self.gate.low),
            "high": _finite(self.gate.high),
            "P(expensive drops | kept)": {"wrong": self.kept.wrong, "of": self.kept.rows, "at_most": self.kept.bound},
            "P(expensive keeps | dropped)": {
                "wrong": self.dropped.wrong,
                "of": self.dropped.rows,
                "at_most": self.dropped.bound,
            },
            "recall_of_expensive_keeps": {"estimate": _finite(self.recall), "at_least": self.recall_at_least},
            "escalated": self.escalated,
            "calibration_rows": self.rows,
            "expensive_per_document": share,
            "pays_from_documents": int(np.ceil(self.rows / (1 - share))) if share < 1 else None,
        }


def calibrate(
    cheap: np.ndarray,
    keeps: np.ndarray,
    first: np.ndarray,
    *,
    wrong_keeps: float,
    wrong_drops: float,
    delta: float,
) -> Calibrated:
    """Choose the gate that escalates least and holds both bounds at 1 - delta.

    `cheap` float64 [n], higher is better, NaN for none; `keeps` bool [n], what the expensive score says; `first` bool
    [n], the half that fixes the sequences. Rows are independent draws of what reaches the stage, and `first` does not
    depend on their scores. A side that cannot be certified decides nothing.
    """
    seen, labels = cheap[first], keeps[first]
    known = seen[~np.isnan(seen)]
    cuts = np.unique(np.quantile(known, np.arange(1, CUTS) / CUTS, method="higher")) if len(known) else known
    # A cut keeps what is at or above it and drops what is below: the same grid serves both sides.
    keep_cuts = _sequence(cuts[::-1], *_kept(seen, labels, cuts[::-1]), wrong_keeps, delta / 2)
    drop_cuts = _sequence(cuts, *_dropped(seen, labels, cuts), wrong_drops, delta / 2)
    if len(keep_cuts) and len(drop_cuts) and keep_cuts[0] < drop_cuts[0]:
        # No cut would be tested on both sides, and two sides that overlap need one: begin both where they err least.
        between = cuts[(cuts >= keep_cuts[0]) & (cuts <= drop_cuts[0])]
        start = _least_wrong(seen, labels, between)
        keep_cuts, drop_cuts = cuts[cuts <= start][::-1], cuts[cuts >= start]
    cheap, keeps = cheap[~first], keeps[~first]
    keep_cuts = _passed(keep_cuts, *_kept(cheap, keeps, keep_cuts), wrong_keeps, delta / 2)
    drop_cuts = _passed(drop_cuts, *_dropped(cheap, keeps, drop_cuts), wrong_drops, delta / 2)
    gate = TwoSidedGate(
        low=float(drop_cuts[-1]) if len(drop_cuts) else -np.inf,
        high=float(keep_cuts[-1]) if len(keep_cuts) else np.inf,
    )
    if gate.high < gate.low:  # both sides hold on all that lies between: one cut, where the first half errs least
        best = _least_wrong(seen, labels, np.intersect1d(keep_cuts, drop_cuts))
        gate = TwoSidedGate(low=best, high=best)
    return _measured(gate, cheap, keeps, delta, len(first))


def frontier(
    cheap: np.ndarray,
    keeps: np.ndarray,
    first: np.ndarray,
    *,
    delta: float,
    errors: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2),
) -> list[tuple[float, Calibrated]]:
    """What each error bound, on both sides alike, costs. Each holds by itself at 1 - delta, not all of them at once."""
    return [
        (error, calibrate(cheap, keeps, first, wrong_keeps=error, wrong_drops=error, delta=delta)) for error in errors
    ]


def audited(route: np.ndarray, keeps: np.ndarray, delta: float) -> dict[str, Side]:
    """What an audit slice says of the gate now, to be held against the bounds that it was calibrated to.

    `route` int8 [n] as of `TwoSidedGate.route`, `keeps` bool [n], both of documents that were escalated whatever their
    route.
    """
    kept, dropped = route == KEEP, route == DROP
    return {
        "kept": _side(int((kept & ~keeps).sum()), int(kept.sum()), delta),
        "dropped": _side(int((dropped & keeps).sum()), int(dropped.sum()), delta),
    }


def _kept(cheap: np.ndarray, keeps: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cut: wrong keeps among the rows at or above it, and those rows. int64 [cuts] each."""
    wrong, rows = np.sort(cheap[~keeps & ~np.isnan(cheap)]), np.sort(cheap[~np.isnan(cheap)])
    return len(wrong) - np.searchsorted(wrong, cuts), len(rows) - np.searchsorted(rows, cuts)


def _dropped(cheap: np.ndarray, keeps: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cut: wrong drops among the rows below it, and those rows. int64 [cuts] each."""
    wrong, rows = np.sort(cheap[keeps & ~np.isnan(cheap)]), np.sort(cheap[~np.isnan(cheap)])
    return np.searchsorted(wrong, cuts), np.searchsorted(rows, cuts)


def _least_wrong(cheap: np.ndarray, keeps: np.ndarray, cuts: np.ndarray) -> float:
    """The cut that decides fewest rows wrongly, of equals the lowest."""
    wrong = _kept(cheap, keeps, cuts)[0] + _dropped(cheap, keeps, cuts)[0]
    return float(cuts[int(wrong.argmin())])


def _sequence(cuts: np.ndarray, wrong: np.ndarray, rows: np.ndarray, error: float, delta: float) -> np.ndarray:
    """The cuts, strict to loose, that the second half will test: from the one of lowest bound in the first half on."""
    enough = rows >= rows_needed(error, delta)
    if not enough.any():
        return cuts[:0]
    bounds = np.where(enough, upper_bound(wrong, rows, delta), np.inf)
    return cuts[int(bounds.argmin()) :]


def _passed(cuts: np.ndarray, wrong: np.ndarray, rows: np.ndarray, error: float, delta: float) -> np.ndarray:
    """The cuts before the first whose bound is above `error`."""
    failed = upper_bound(wrong, rows, delta) > error
    return cuts[: int(failed.argmax())] if failed.any() else cuts


def _measured(gate: TwoSidedGate, cheap: np.ndarray, keeps: np.ndarray, delta: float, rows: int) -> Calibrated:
    route = gate.route(cheap)
    sides = audited(route, keeps, delta / 2)
    total = int(keeps.sum())
    reached = total - sides["dropped"].wrong
    return Calibrated(
        gate=gate,
        kept=sides["kept"],
        dropped=sides["dropped"],
        escalated=float((route == ESCALATE).mean()) if len(route) else 1.0,
        recall=reached / total if total else float("nan"),
        recall_at_least=lower_bound(reached, total, delta),
        rows=rows,
    )


def _side(wrong: int, rows: int, delta: float) -> Side:
    return Side(wrong, rows, float(upper_bound(wrong, rows, delta)))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
