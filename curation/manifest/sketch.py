"""Sketches: the distribution of a measurement in a few hundred counters, whatever the number of documents.

A histogram in the manner of DDSketch (Masson, Rim and Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019), with the bins of HdrHistogram: a float64's exponent and the first six
bits of its fraction. They are read off the number as it is stored, where ⌈log_γ |x|⌉ would need a logarithm that rounds
alike on every machine. No bin is wider than 1/64 of its lower edge: its middle is within 1/128 of every value in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ACCURACY = 1 / 128
"""A quantile's largest error, relative to the value at its rank. Numbers below 2^-1022 count as zero."""
_SHIFT = 52 - 6
_FIRST = 1 << 6
"""Bin of 2^-1022, the smallest normal number: what is below it lies in bin 0."""
_INFINITE = 0x7FF << 6
_LOWEST = -1 << 17


@dataclass(frozen=True)
class Sketch:
    """One measurement of some documents. Of a division of the documents, however made, the sketches add up to it.

    Counts, `min`, `max` and so quantiles come out the same. `sum` and `sum_sq` may differ in their last bits where they
    are not whole numbers below 2^53; they are added in the order of the shards, which the plan fixes.
    """

    documents: int
    """Those that have a value, infinities among them."""
    nulls: int
    nans: int
    whole: bool
    """Whether every value is a whole number: its quantiles are, then."""
    sum: float
    sum_sq: float
    min: float | None
    max: float | None
    bins: dict[int, int]
    """Documents by bin, ascending; negative bins mirror the positive, zero is 0, no count is 0."""

    @classmethod
    def of(cls, values: pa.Array, nulls: int = 0) -> Sketch:
        """The sketch of an array of a type that is `measured`; `nulls` are counted beside those in it."""
        nulls += values.null_count
        numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        if len(numbers) and np.isnan(numbers.min()):
            numbers = numbers[~np.isnan(numbers)]
        nans = len(values) - values.null_count - len(numbers)
        if not len(numbers):
            return cls(0, nulls, nans, True, 0.0, 0.0, None, None, {})
        low, high = float(numbers.min()) + 0.0, float(numbers.max()) + 0.0  # 0.0 even where it met a -0.0
        scratch = np.empty_like(numbers)  # fresh memory for every step costs more than the steps
        with np.errstate(over="ignore", invalid="ignore"):
            total, squares = float(numbers.sum()), float(np.square(numbers, out=scratch).sum())
        whole = math.isfinite(low) and math.isfinite(high)
        if pa.types.is_floating(values.type):
            whole = whole and np.array_equal(np.trunc(numbers, out=scratch), numbers)
        return cls(len(numbers), nulls, nans, whole, total, squares, low, high, _bins(numbers, scratch))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Sketch:
        """What a `sketches` record holds."""
        values = {item.name: record[item.name] for item in fields(cls)}
        return cls(**{**values, "bins": {item["bin"]: item["count"] for item in record["bins"]}})

    def record(self) -> dict[str, Any]:
        """The columns of a `sketches` record that say what was measured."""
        bins = [{"bin": place, "count": count} for place, count in self.bins.items()]
        return {**{item.name: getattr(self, item.name) for item in fields(self)}, "bins": bins}

    def __add__(self, other: Sketch) -> Sketch:
        places = sorted(self.bins.keys() | other.bins.keys())
        return Sketch(
            documents=self.documents + other.documents,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            whole=self.whole and other.whole,
            sum=self.sum + other.sum,
            sum_sq=self.sum_sq + other.sum_sq,
            min=min((value for value in (self.min, other.min) if value is not None), default=None),
            max=max((value for value in (self.max, other.max) if value is not None), default=None),
            bins={place: self.bins.get(place, 0) + other.bins.get(place, 0) for place in places},
        )

    def quantile(self, q: float) -> float | None:
        """The value at rank ⌊q (n − 1)⌋ of n, counted from 0, up to ACCURACY; None without values.

        This is what `numpy.quantile(..., method="lower")` gives. Raises ValueError for q outside [0, 1].
        """
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile is between 0 and 1, not {q}")
        if self.min is None or self.max is None:
            return None
        rank = math.floor(q * (self.documents - 1))
        upto = accumulate(self.bins.values())
        value = next(_middle(place) for place, number in zip(self.bins, upto, strict=True) if number > rank)
        return min(max(float(math.trunc(value)) if self.whole else value, self.min), self.max)


def measured(kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type has a sketch: numbers, and booleans as 0 and 1."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def sketch_struct(struct: pa.StructArray) -> Iterator[tuple[str, Sketch]]:
    """Every measured field of a stage's struct with its sketch, over the rows where the struct is not null."""
    absent = struct.null_count
    for item in struct.type:
        if measured(item.type):
            yield item.name, Sketch.of(pc.struct_field(struct, item.name), -absent)


def _bins(numbers: np.ndarray, scratch: np.ndarray) -> dict[int, int]:
    """How many of float64 [n], no NaN among them, lie in each bin that is not empty."""
    # sign, exponent and six bits; negative numbers count up from _LOWEST
    heads = np.right_shift(numbers.view(np.int64), _SHIFT, out=scratch.view(np.int64))
    first = int(heads.min())
    heads -= first
    counts = np.bincount(heads)
    filled = np.flatnonzero(counts)
    heads = first + filled
    places = np.where(heads < 0, _LOWEST - heads, heads)
    places[np.abs(places) < _FIRST] = 0
    bins: dict[int, int] = {}
    for place, count in sorted(zip(places.tolist(), counts[filled].tolist(), strict=True)):
        bins[place] = bins.get(place, 0) + count
    return bins


def _middle(bin_number: int) -> float:
    """The middle of a bin."""
    size = abs(bin_number)
    if size in (0, _INFINITE):
        return math.copysign(math.inf, bin_number) if size else 0.0
    exponent, step = divmod(size, 1 << 6)
    return math.copysign(math.ldexp(1 + (step + 0.5) / 64, exponent - 1023), bin_number)
