"""Rows of which most numbers are 0, in the two products that small heads are fitted by: one thread, a fixed order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sparse:
    """A matrix in compressed rows (CSR): row `i` has `values[bounds[i]:bounds[i + 1]]` at `columns` there."""

    bounds: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    columns: NDArray[np.int32]
    values: Floats
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.width

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, rows: NDArray[np.bool_]) -> Sparse:
        """The rows that a mask names."""
        sizes = np.diff(self.bounds)
        there = np.repeat(rows, sizes)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[rows])])
        return Sparse(bounds, self.columns[there], self.values[there], self.width)

    def times(self, v: Floats) -> Floats:
        """X v, float64 [n]."""
        return np.asarray(_times(self.bounds, self.columns, self.values, np.ascontiguousarray(v)))

    def transposed_times(self, u: Floats) -> Floats:
        """Xᵀ u, float64 [width]."""
        return np.asarray(
            _transposed_times(self.bounds, self.columns, self.values, np.ascontiguousarray(u), self.width)
        )


@njit(nogil=True, cache=True)
def _times(bounds, columns, values, v):  # type: ignore[no-untyped-def]
    out = np.zeros(len(bounds) - 1)
    for i in range(len(out)):
        total = 0.0
        for k in range(bounds[i], bounds[i + 1]):
            total += values[k] * v[columns[k]]
        out[i] = total
    return out


@njit(nogil=True, cache=True)
def _transposed_times(bounds, columns, values, u, width):  # type: ignore[no-untyped-def]
    out = np.zeros(width)
    for i in range(len(bounds) - 1):
        for k in range(bounds[i], bounds[i + 1]):
            out[columns[k]] += values[k] * u[i]
    return out
