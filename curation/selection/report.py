"""What a selection did, beside what chance and length would have done with the same number of documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Rows
from curation.selection.vectors import Vectors, nearest
from curation.sources.shards import scramble
from curation.statistics.metrics import spearman

MOST = 2_000_000
"""Documents that a report looks at: of more, so many by hash."""
COVERED = 20_000
"""Documents whose distance to the nearest chosen one is measured."""
SEED = 0x5E1EC7
"""Of the random baseline and of samples, so that it is not the order of `select: random`."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Outcome:
    """n documents that reached a selection, and what it made of them."""

    selected: NDArray[np.bool_]
    value: NDArray[np.float64]
    """What it went by, NaN for none."""
    length: Rows
    """Bytes of the answer where rows hold one, else of the text."""
    key: NDArray[np.uint64]
    source: Rows
    sources: list[str]
    vectors: Vectors | None = None


def selection_report(outcome: Outcome) -> dict[str, Any]:
    """Plain JSON: overlap and rank correlation with the baselines, lengths, shift between sources, coverage.

    `overlap` is the share of the selected documents that a baseline of as many documents selects too, `chance` what
    independent choices share. Spearman is between `value` and the baseline's own order, over documents with a value.
    `shift` is the Jensen–Shannon divergence, in bits, of the selected documents' sources from all documents'.
    """
    n, k = len(outcome.selected), int(outcome.selected.sum())
    chance = scramble(outcome.key, SEED)
    order = np.arange(n)
    baselines = {
        "random": _first(np.lexsort((order, chance)), k, n),
        "longest": _first(np.lexsort((order, -outcome.length)), k, n),
    }
    scored = ~np.isnan(outcome.value)
    against = {"random": -chance.astype(np.float64), "longest": outcome.length.astype(np.float64)}
    report: dict[str, Any] = {
        "documents": n,
        "selected": k,
        "chance": k / n if n else None,
        "baselines": {
            name: {
                "overlap": float((outcome.selected & chosen).sum() / k) if k else None,
                "spearman": _plain(spearman(outcome.value[scored], against[name][scored]))
                if scored.sum() > 1
                else None,
            }
            for name, chosen in baselines.items()
        },
        "lengths": {
            name: _quantiles(outcome.length[chosen])
            for name, chosen in {"all": np.ones(n, dtype=bool), "selected": outcome.selected, **baselines}.items()
        },
        "length_tenths": _tenths(outcome),
        "sources": _sources(outcome),
        "shift": _shift(outcome),
    }
    if outcome.vectors is not None:
        report["coverage"] = _coverage(outcome, baselines, chance)
    return report


def _first(order: Rows, count: int, n: int) -> NDArray[np.bool_]:
    chosen = np.zeros(n, dtype=bool)
    chosen[order[:count]] = True
    return chosen


def _quantiles(values: Rows) -> list[float] | None:
    return [float(value) for value in np.quantile(values, QUANTILES)] if len(values) else None


def _tenths(outcome: Outcome) -> list[dict[str, Any]]:
    """From the shortest tenth of the documents to the longest: how much of it was selected, and its mean value."""
    rows = np.lexsort((np.arange(len(outcome.length)), outcome.length))
    entries = []
    for part in np.array_split(rows, 10):
        if len(part):
            value = outcome.value[part]
            scored = ~np.isnan(value)
            entry = {"from": int(outcome.length[part[0]]), "to": int(outcome.length[part[-1]]), "documents": len(part)}
            entry["selected"] = int(outcome.selected[part].sum())
            entries.append({**entry, "mean": _plain(float(value[scored].mean())) if scored.any() else None})
    return entries


def _sources(outcome: Outcome) -> list[dict[str, Any]]:
    count = np.bincount(outcome.source, minlength=len(outcome.sources))
    chosen = np.bincount(outcome.source[outcome.selected], minlength=len(outcome.sources))
    return [
        {"source": name, "documents": int(count[place]), "selected": int(chosen[place])}
        for place, name in enumerate(outcome.sources)
    ]


def _shift(outcome: Outcome) -> float | None:
    if not outcome.selected.any():
        return None
    before = np.bincount(outcome.source, minlength=len(outcome.sources)) / len(outcome.source)
    after = np.bincount(outcome.source[outcome.selected], minlength=len(outcome.sources)) / outcome.selected.sum()
    middle = (before + after) / 2

    def divergence(one: NDArray[np.float64]) -> float:
        there = one > 0
        return float((one[there] * np.log2(one[there] / middle[there])).sum())

    return (divergence(before) + divergence(after)) / 2


def _coverage(outcome: Outcome, baselines: dict[str, NDArray[np.bool_]], chance: NDArray[np.uint64]) -> dict[str, Any]:
    """Euclidean distance √(2 - 2 cos) of documents to the nearest chosen one: the largest (radius), and the mean."""
    assert outcome.vectors is not None
    embedded = outcome.vectors.any(axis=1)
    rows = np.flatnonzero(embedded)
    rows = np.sort(rows[np.argsort(chance[rows], kind="stable")[:COVERED]])
    coverage: dict[str, Any] = {"documents": len(rows)}
    for name, chosen in {"selected": outcome.selected, **baselines}.items():
        _, similarity = nearest(outcome.vectors[rows], outcome.vectors[chosen & embedded])
        distance = np.sqrt(np.maximum(2.0 - 2.0 * similarity, 0.0))
        measurable = len(rows) and not np.isnan(distance).any()
        coverage[name] = {
            "radius": float(distance.max()) if measurable else None,
            "mean": float(distance.mean()) if measurable else None,
        }
    return coverage


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
