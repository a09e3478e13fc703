"""Where the bins of a measurement begin and end: at round numbers, so that most thresholds fall between two of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

BINS = 48
"""At most, about."""
FAR = 64.0
"""Between a twentieth and nineteen twentieths of the documents: beyond it, bins grow with their values."""
TAILS = 10.0
"""How often as wide as the middle nine tenths of the documents a tail may be that is drawn with equal bins."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TENTHS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
"""The series R10 of ISO 3: ten steps that grow alike, from one power of ten to the next."""


class Spread(NamedTuple):
    """Of the finite values of a measurement."""

    least: float
    most: float
    low: float
    """A thousandth of the documents lies below it."""
    high: float
    p05: float
    p95: float


class Edges(NamedTuple):
    scale: Literal["linear", "log"]
    edges: list[float]
    """Ascending, two or more."""

    @property
    def _even(self) -> bool:
        """Whether arithmetic tells the bin of a value, or the one next to it."""
        width = self.edges[1] - self.edges[0]
        span, most = self.edges[-1] - self.edges[0], max(map(abs, (self.edges[0], self.edges[-1])))
        return math.isfinite(span) and width > 1e-300 and most * 1e-12 < span / len(self.edges)

    def bin_sql(self, value: str) -> str:
        """SQL: the bin of a value from 0, -1 below the first edge, one more than the last above, NULL for no number.

        What arithmetic says is compared with the edges themselves, so that a value on an edge is never a bin off.
        """
        bins, edges = len(self.edges) - 1, self.edges
        listed = f"[{', '.join(_double(edge) for edge in edges)}]"
        if not self._even:
            passed = f"len(list_filter({listed}, lambda edge: edge <= {value})) - 1"
            return f"""CASE WHEN isnan({value}) THEN NULL WHEN {value} = {_double(edges[-1])} THEN {bins - 1}
                            WHEN {value} IS NOT NULL THEN {passed} END"""
        if self.scale == "linear":
            guess = f"({value} - {_double(edges[0])}) / {_double((edges[-1] - edges[0]) / bins)}"
        else:
            ratio = (math.log(edges[-1]) - math.log(edges[0])) / bins
            guess = f"(ln(greatest({value}, {_double(edges[0])})) - {_double(math.log(edges[0]))}) / {_double(ratio)}"
        near = f"greatest(0, least({bins - 1}, floor({guess})))::INTEGER"
        moved = f"""CASE WHEN {value} < {listed}[{near} + 1] THEN {near} - 1
                         WHEN {value} >= {listed}[{near} + 2] THEN {near} + 1 ELSE {near} END"""
        return f"""CASE WHEN {value} IS NULL OR isnan({value}) THEN NULL
                        WHEN {value} < {_double(edges[0])} THEN -1
                        WHEN {value} > {_double(edges[-1])} THEN {bins}
                        WHEN {value} = {_double(edges[-1])} THEN {bins - 1}
                        ELSE {moved} END"""


def edges_of(spread: Spread | None, whole: bool, boolean: bool, thresholds: Sequence[float], bins: int = BINS) -> Edges:
    """Bins of a measurement with some finite values (None for none), wide enough for the thresholds that are near."""
    if boolean:
        return Edges("linear", [0.0, 1.0, 2.0])
    if spread is None:
        return Edges("linear", [0.0, 1.0])
    positive = [value for value in thresholds if value > 0]
    if spread.p05 > 0 and spread.p95 > FAR * spread.p05:
        low, high = _range(spread, positive)
        if low <= 0:  # few are zero: they stand below
            low = min([spread.p05 / 10, *positive])
        return Edges("log", _log_edges(low, high, bins))
    return Edges("linear", _linear_edges(*_range(spread, thresholds), whole, bins, thresholds))


def _range(spread: Spread, thresholds: Sequence[float]) -> tuple[float, float]:
    """Without the outermost documents where these lie far out, and with thresholds that don't."""
    middle = spread.p95 - spread.p05
    if 0 < middle < math.inf:  # of few documents, a thousandth is none
        floor, ceiling = spread.p05 - TAILS * middle, spread.p95 + TAILS * middle
        spread = spread._replace(low=max(spread.low, floor), high=min(spread.high, ceiling))
    wide = spread.high / 2 - spread.low / 2
    low = spread.least if spread.low / 2 - spread.least / 2 <= wide else spread.low
    high = spread.most if spread.most / 2 - spread.high / 2 <= wide else spread.high
    near = [value for value in thresholds if low - 2 * wide <= value <= high + 2 * wide]
    return min([low, *near]), max([high, *near])


def _linear_edges(low: float, high: float, whole: bool, bins: int, thresholds: Sequence[float]) -> list[float]:
    if high <= low:  # a constant
        width = 1.0 if whole else max(abs(low), 1.0) / 10
        return [low, max(low + width, math.nextafter(low, math.inf))]
    step = _step(high / bins - low / bins, whole, thresholds)
    if not math.isfinite(low / step) or not math.isfinite(high / step):
        return _evenly(low, high, bins)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    if not whole and math.isclose((last - 1) * step, high, rel_tol=1e-12):
        last -= 1  # the last bin holds its upper edge
    if last - first > 4 * bins:
        return _evenly(low, high, bins)
    edges = [_tidy(number * step) for number in range(first, last + 1)]
    rising = all(one < other for one, other in itertools.pairwise(edges)) and math.isfinite(edges[-1] - edges[0])
    return edges if len(edges) > 1 and rising and edges[-1] >= high else _evenly(low, high, bins)


def _evenly(low: float, high: float, bins: int) -> list[float]:
    """For values among which round numbers are not to be told apart."""
    edges = np.unique(np.linspace(low / 2, high / 2, bins + 1) * 2).tolist()
    return [low, *(edge for edge in edges if low < edge < high), high]


def _step(width: float, whole: bool, thresholds: Sequence[float]) -> float:
    """A round width of bins, about as wide as is asked, of those that thresholds are multiples of if there are such."""
    step = _round_up(width)
    steps = [step, _round_up(step * 1.2), _round_up(step * 2.1), step / 2]
    steps = [max(1.0, float(math.ceil(item))) for item in steps] if whole else steps
    near = [t for t in thresholds if t and math.isfinite(t / step)]

    def missed(item: float) -> int:
        return sum(not math.isclose(t / item, round(t / item), rel_tol=1e-9) for t in near)

    return min(steps, key=missed)


def _log_edges(low: float, high: float, bins: int) -> list[float]:
    decades = math.log10(high) - math.log10(low)
    stride = next((n for n in (1, 2, 5, 10) if decades * 10 / n <= bins), math.ceil(decades / bins) * 10)
    first = math.floor(math.log10(low) * 10 / stride + 1e-9) * stride
    last = math.ceil(math.log10(high) * 10 / stride - 1e-9) * stride
    last = max(last, first + stride)
    edges = [float(f"{TENTHS[number % 10]}e{number // 10}") for number in range(first, last + 1, stride)]
    return [edge for edge in edges if 0 < edge < math.inf]


def _round_up(step: float) -> float:
    """The next of 1, 2, 2.5, 5 or 10 times a power of ten; never 0."""
    if step < 1e-300:
        return max(step, 5e-324)
    power = 10.0 ** math.floor(math.log10(step))
    return float(f"{next((s for s in STEPS if s * power >= step * (1 - 1e-9)), 10.0) * power:.12g}")


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")


def _double(value: float) -> str:
    return f"{float(value)!r}::DOUBLE"
